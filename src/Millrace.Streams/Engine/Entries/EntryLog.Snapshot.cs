using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>The entries in a snapshot, drawn at <see cref="Snapshots.SnapshotWriter"/>: the very blocks, so that what comes later finds the same.</summary>
internal sealed partial class EntryLog
{
    public void WriteSnapshot(RecordWriter writer)
    {
        writer.Number(_blocks.Count);
        writer.Flag(_open is not null);
        for (var at = 0; at < _blocks.Count; at++)
            _blocks[at].WriteSnapshot(writer);
        if (_open is not null)
            _writer.WriteShapes(writer);
    }

    public static EntryLog ReadSnapshot(ref RecordReader reader)
    {
        var log = new EntryLog();
        var (count, isOpen) = (reader.Count(), reader.Flag());
        if (isOpen && count == 0)
            throw EngineErrors.Damaged("a block is open that is not there", 0);
        var shapes = new List<BlockShape>();
        for (var left = count; left > 0; left--)
            log.ReadBlock(ref reader, isOpen && left == 1, shapes);
        if (isOpen)
            log._writer.ReadShapes(ref reader, log._blocks[^1], shapes);
        return log;
    }

    private void ReadBlock(ref RecordReader reader, bool isOpen, List<BlockShape> shapes)
    {
        var block = EntryBlock.ReadSnapshot(ref reader, isOpen, shapes, out var firstId, out var lastId);
        if (_blocks.Count > 0 && block.BaseId <= LastAddedId)
            throw EngineErrors.Damaged("a block is out of order", 0);
        _blocks.Add(block);
        if (isOpen)
            _open = block;
        else
            _sealedBytes += block.Bytes.Length;
        if (block.Live == 0)
            return;
        if (Count == 0)
            FirstId = firstId;
        LastId = lastId;
        Count += block.Live;
    }
}
