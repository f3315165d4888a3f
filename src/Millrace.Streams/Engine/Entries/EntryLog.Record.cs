using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>The entries as bytes, drawn at <see cref="StreamValue.Write"/>: block by block, so that a copy trims like the original.</summary>
internal sealed partial class EntryLog
{
    /// <summary>The largest ID ever added to a block that is still there.</summary>
    public EntryId LastAddedId => _blocks.Count == 0 ? EntryId.Zero : _blocks[^1].LastAddedId;

    public void Write(RecordWriter writer)
    {
        writer.Number(_blocks.Count);
        for (var at = 0; at < _blocks.Count; at++)
        {
            var block = _blocks[at];
            writer.Id(block.BaseId);
            writer.Id(block.LastAddedId);
            writer.Number(block.Added);
            writer.Number(block.Live);
            for (int index = 0, offset = 0; index < block.Stored; index++)
            {
                var entry = EntryView.At(block, offset);
                offset = entry.End;
                if (block.IsDeleted(index))
                    continue;
                writer.Id(entry.Id);
                writer.Fields(entry.ToFields());
            }
        }
    }

    public static EntryLog Read(ref RecordReader reader)
    {
        var log = new EntryLog();
        for (var left = reader.Count(); left > 0; left--)
            log.ReadBlock(ref reader);
        return log;
    }

    private void ReadBlock(ref RecordReader reader)
    {
        var (baseId, lastAddedId) = (reader.Id(), reader.Id());
        var (added, count) = (reader.PositiveNumber(), reader.Count());
        if (baseId > lastAddedId || (_blocks.Count > 0 && baseId <= LastAddedId) || added < count || added > EntryBlock.MaxAdded)
            throw EngineErrors.Damaged("a block is out of order", 0);
        if (_open is not null)
            SealOpen();
        _blocks.Add(_open = _writer.Open(baseId, _generation));
        for (var i = 0; i < count; i++)
        {
            var (id, fields) = (reader.Id(), reader.Fields());
            if (id > lastAddedId || (i == 0 ? id < baseId : id <= LastId) || fields.Count == 0)
                throw EngineErrors.Damaged("an entry is out of order or empty", 0);
            AppendTo(_open, id, fields);
        }

        _open.Resume(lastAddedId, (int)added);
    }
}
