using System.Numerics;
using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A shape of a block: where it stands, and how many fields it has.</summary>
internal readonly record struct BlockShape(int Offset, int FieldCount);

/// <summary>A block in a snapshot, drawn at <see cref="Snapshots.SnapshotWriter"/>.</summary>
internal sealed partial class EntryBlock
{
    /// <summary>More entries than ever fit a block, deleted ones included, and far from where the count would overflow.</summary>
    public const int MaxAdded = 1 << 30;

    /// <summary>The least an entry takes: one byte each for two numbers of its ID, its shape, and the length of its only value.</summary>
    private const int MinEntryBytes = 4;

    public void WriteSnapshot(RecordWriter writer)
    {
        writer.Id(BaseId);
        writer.Id(LastAddedId);
        writer.Number(Added);
        writer.Number(Stored);
        writer.Number(Used);
        writer.Raw(Bytes.AsSpan(0, Used));
        writer.Raw(Bytes.AsSpan(Bytes.Length - CheckpointBytes(Stored)));
        writer.Number(_deleted?.Length ?? 0);
        foreach (var word in _deleted ?? [])
            writer.Number(word);
    }

    /// <summary>Reads a block and looks at each of its entries.</summary>
    /// <param name="reader">Where it comes from.</param>
    /// <param name="isOpen">Whether more entries are to follow in it.</param>
    /// <param name="shapes">Gets the shapes that stand in it.</param>
    /// <param name="firstId">The ID of its first entry that is not deleted.</param>
    /// <param name="lastId">The ID of its last one.</param>
    public static EntryBlock ReadSnapshot(
        ref RecordReader reader, bool isOpen, List<BlockShape> shapes, out EntryId firstId, out EntryId lastId)
    {
        var block = new EntryBlock(reader.Id(), generation: 0) { LastAddedId = reader.Id() };
        var (added, stored, used) = (reader.PositiveNumber(), reader.PositiveNumber(), reader.PositiveNumber());
        if (block.BaseId > block.LastAddedId || stored > added || added > MaxAdded || used / MinEntryBytes < stored || used > Array.MaxLength / 2)
            throw EngineErrors.Damaged("a block counts what cannot be", 0);
        (block.Added, block.Stored, block.Used) = ((int)added, (int)stored, (int)used);
        var size = block.Used + CheckpointBytes(block.Stored);
        block.Bytes = reader.Raw(size, pinned: !isOpen && size >= EntryBlockWriter.PinnedBytes);
        block.ReadDeleted(ref reader);
        block.CheckEntries(shapes, out firstId, out lastId);
        return block;
    }

    private void ReadDeleted(ref RecordReader reader)
    {
        Live = Stored;
        var words = reader.Count();
        if (words == 0)
            return;
        if (words > (Stored + 63) / 64)
            throw EngineErrors.Damaged("entries are deleted that never were", 0);
        _deleted = new ulong[words];
        for (var i = 0; i < words; i++)
        {
            _deleted[i] = reader.Number();
            Live -= BitOperations.PopCount(_deleted[i]);
        }

        if (words * 64 > Stored && _deleted[^1] >> (Stored % 64) != 0)
            throw EngineErrors.Damaged("entries are deleted that never were", 0);
    }

    /// <summary>Walks the entries as <see cref="EntryView"/> does, which trusts them from then on.</summary>
    private void CheckEntries(List<BlockShape> shapes, out EntryId firstId, out EntryId lastId)
    {
        var bytes = Bytes.AsSpan(0, Used);
        (firstId, lastId) = (EntryId.Zero, EntryId.Zero);
        shapes.Clear();
        var (offset, lastShape, previous) = (0, default(BlockShape), default(EntryId?));
        for (var index = 0; index < Stored; index++)
        {
            var start = offset;
            if (index % CheckpointInterval == 0 && OffsetOfCheckpoint(index / CheckpointInterval) != offset)
                throw Unsound();
            var id = CheckId(bytes, ref offset);
            if (id <= previous || id < BaseId || id > LastAddedId || id == EntryId.Zero)
                throw EngineErrors.Damaged("an entry is out of order", 0);
            previous = id;
            CheckFields(bytes, shapes, ref lastShape, ref offset);
            if (IsDeleted(index))
            {
                _deletedBytes += offset - start;
                continue;
            }

            if (firstId == EntryId.Zero)
                firstId = id;
            lastId = id;
        }

        if (offset != Used)
            throw Unsound();
    }

    private EntryId CheckId(ReadOnlySpan<byte> bytes, ref int offset)
    {
        if (!Varint.TryRead(bytes, ref offset, out var msDelta) || !Varint.TryRead(bytes, ref offset, out var sequence) ||
            msDelta > ulong.MaxValue - BaseId.Milliseconds || (msDelta == 0 && sequence > ulong.MaxValue - BaseId.Sequence))
            throw Unsound();
        return msDelta == 0 ? new(BaseId.Milliseconds, BaseId.Sequence + sequence) : new(BaseId.Milliseconds + msDelta, sequence);
    }

    private static void CheckFields(ReadOnlySpan<byte> bytes, List<BlockShape> shapes, ref BlockShape shape, ref int offset)
    {
        if (!Varint.TryRead(bytes, ref offset, out var at))
            throw Unsound();
        if (at == 0)
            shapes.Add(shape = CheckShape(bytes, ref offset));
        else if (at != (ulong)shape.Offset)
            shape = Find(shapes, at);
        CheckParts(bytes, shape.FieldCount, ref offset);
    }

    /// <summary>Steps over a shape, which must have a field.</summary>
    private static BlockShape CheckShape(ReadOnlySpan<byte> bytes, ref int offset)
    {
        var start = offset;
        if (!Varint.TryRead(bytes, ref offset, out var fieldCount) || !Varint.TryRead(bytes, ref offset, out var nameBytes) ||
            fieldCount == 0 || fieldCount > nameBytes || nameBytes > (ulong)(bytes.Length - offset))
            throw Unsound();
        var end = offset + (int)nameBytes;
        CheckParts(bytes, (int)fieldCount, ref offset);
        return offset == end ? new(start, (int)fieldCount) : throw Unsound();
    }

    private static void CheckParts(ReadOnlySpan<byte> bytes, int count, ref int offset)
    {
        for (; count > 0; count--)
        {
            if (!Varint.TryRead(bytes, ref offset, out var length) || length > (ulong)(bytes.Length - offset))
                throw Unsound();
            offset += (int)length;
        }
    }

    /// <summary>The shape that stands at an offset. They come in the order of their offsets.</summary>
    private static BlockShape Find(List<BlockShape> shapes, ulong offset)
    {
        int low = 0, high = shapes.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if ((ulong)shapes[middle].Offset < offset)
                low = middle + 1;
            else
                high = middle;
        }

        return low < shapes.Count && (ulong)shapes[low].Offset == offset ? shapes[low] : throw Unsound();
    }

    private static StreamException Unsound() => EngineErrors.Damaged("the bytes of a block are no entries", 0);
}
