using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>The entries of one stream, by ID. The only code that knows how they are kept: packed in blocks.</summary>
/// <remarks>
/// <code>
/// _blocks  ┌────────┐ ┌────────┐ ┌────────┐ ┌──────┐   each a run of entries in one array, drawn at EntryBlock;
///          │ sealed │ │ sealed │ │ sealed │ │ open │   entries come at the end of the last one, and a block
///          └────────┘ └────────┘ └────────┘ └──────┘   goes with the last of its entries
/// </code>
/// The newest block is open until the next entry finds it full. Views and ranges are valid until the stream changes.
/// </remarks>
internal sealed partial class EntryLog
{
    /// <summary>Entries of a block when nothing else is said, as in Redis.</summary>
    public const int DefaultBlockEntries = 100;

    private readonly BlockList _blocks;
    private readonly EntryBlockWriter _writer;

    /// <summary>The last block, if it lies in the writer's buffer.</summary>
    private EntryBlock? _open;

    /// <summary>Bytes of all other blocks.</summary>
    private long _sealedBytes;

    /// <summary>
    /// Counts clones: blocks of earlier generations may be in a clone as well, and are replaced by copies before they change. That makes a clone
    /// cheap, however many entries there are, and a delete or append after it dearer by one block.
    /// </summary>
    private int _generation;

    public EntryLog()
        : this(new(), new(), null)
    {
    }

    private EntryLog(BlockList blocks, EntryBlockWriter writer, EntryBlock? open)
    {
        _blocks = blocks;
        _writer = writer;
        _open = open;
    }

    public long Count { get; private set; }

    /// <summary>The oldest entry's ID, or 0-0 when there is none.</summary>
    public EntryId FirstId { get; private set; }

    /// <summary>The newest entry's ID, or 0-0 when there is none.</summary>
    public EntryId LastId { get; private set; }

    public StreamEntry? First => Count == 0 ? null : this[FirstId];

    public StreamEntry? Last => Count == 0 ? null : this[LastId];

    /// <summary>Blocks the entries lie in.</summary>
    public int BlockCount => _blocks.Count;

    /// <summary>Bytes of memory: the blocks, the buffer of the open one, and about 136 for what belongs to each.</summary>
    public long SizeBytes => _sealedBytes + _writer.BufferBytes + (_blocks.Count * 136L);

    private StreamEntry this[EntryId id] => TryGet(id, out var fields) ? new(id, fields) : throw new UnreachableException();

    /// <summary>Adds an entry; its ID must be above every other, deleted ones included.</summary>
    /// <param name="id">Its ID.</param>
    /// <param name="fields">Its fields, copied.</param>
    /// <param name="maxBlockEntries">Entries a block takes, deleted ones included; 0: no limit but its size.</param>
    public void Append(EntryId id, EntryFields fields, int maxBlockEntries)
    {
        Debug.Assert(_blocks.Count == 0 || id > _blocks[^1].LastAddedId, "IDs strictly increase.");
        AppendTo(_open is { } open && !open.IsClosed(maxBlockEntries) ? open : OpenBlock(id, maxBlockEntries), id, fields);
    }

    private void AppendTo(EntryBlock block, EntryId id, EntryFields fields)
    {
        if (block.Generation != _generation)
            block = Own(_blocks.Count - 1);
        _writer.Append(block, id, fields.Packed.Span, fields.Count);
        LastId = id;
        if (Count++ == 0)
            FirstId = id;
    }

    public bool Contains(EntryId id) => TryFind(id, out _);

    /// <summary>Copies an entry's fields out.</summary>
    public bool TryGet(EntryId id, out EntryFields fields)
    {
        var exists = TryFind(id, out var entry);
        fields = exists ? entry.ToFields() : default;
        return exists;
    }

    public bool TryFind(EntryId id, out EntryView entry)
    {
        entry = default;
        var at = _blocks.IndexOf(id);
        return at >= 0 && _blocks[at].TryFind(id, out _, out _, out entry);
    }

    public bool Delete(EntryId id)
    {
        var at = _blocks.IndexOf(id);
        if (at < 0 || !_blocks[at].TryFind(id, out var index, out var offset, out var entry))
            return false;

        var block = Own(at);
        block.Delete(index, entry.End - offset);
        Count--;
        if (block.Live == 0)
            RemoveBlock(at);
        else
            SqueezeIfWorth(block);
        if (id == FirstId)
            FirstId = FirstAtOrAbove(id);
        if (id == LastId)
            LastId = LastAtOrBelow(id);
        return true;
    }

    /// <summary>
    /// Leaves no trace of entries that were deleted behind the last one, so that their IDs can be given again: blocks are in order only
    /// while no ID goes back.
    /// </summary>
    public void ForgetDeletedEnd()
    {
        while (_blocks.Count > 0 && _blocks[^1].Live == 0)
            RemoveBlock(_blocks.Count - 1);
        if (_blocks.Count == 0 || LastAddedId == LastId)
            return;
        var block = Own(_blocks.Count - 1);
        if (block == _open)
        {
            _writer.Seal(block);
            _open = null;
        }
        else
        {
            _sealedBytes -= block.Bytes.Length;
        }

        EntryBlockWriter.Squeeze(block);
        _sealedBytes += block.Bytes.Length;
        block.Resume(LastId, block.Added);
    }

    /// <summary>Copies a range out, both bounds included, the first <paramref name="count"/> in the direction asked for.</summary>
    public StreamEntry[] Read(EntryId first, EntryId last, int count, bool reversed = false)
    {
        var range = From(first, last, reversed);
        var size = range.Measure(count, out var packedBytes);
        if (size == 0)
            return [];

        var entries = new StreamEntry[size];
        var packer = new EntryPacker(packedBytes);
        for (var i = 0; i < size && range.MoveNext(); i++)
            entries[i] = new(range.Current.Id, packer.Pack(in range.Current));
        return entries;
    }

    /// <summary>Counts the entries from one ID to another, both included, but not further than <paramref name="limit"/>.</summary>
    public int CountRange(EntryId first, EntryId last, int limit)
    {
        if (first > last)
            return 0;

        long count = 0;
        for (var at = Math.Max(0, _blocks.IndexOf(first)); at < _blocks.Count && count < limit && _blocks[at].BaseId <= last; at++)
        {
            var block = _blocks[at];
            count += block.CountLive(first <= block.BaseId ? 0 : block.LowerBound(first, out _), block.UpperBound(last));
        }

        return (int)Math.Min(count, limit);
    }

    /// <summary>Walks a range, both bounds included, in order or in reverse.</summary>
    public EntryRange From(EntryId first, EntryId last, bool reversed = false) => new(_blocks, first, last, reversed);

    /// <summary>Walks all entries in order.</summary>
    public EntryRange GetEnumerator() => From(EntryId.Zero, EntryId.Max);

    /// <summary>The nodes of the tree in which Redis would keep the blocks.</summary>
    public long CountRadixNodes() => RadixTree.CountNodes(_blocks);

    /// <summary>The same entries in the same blocks, to be changed apart. Both share each block until one of them changes it.</summary>
    public EntryLog Clone()
    {
        _generation++;
        return new(_blocks.Clone(), _open is null ? new() : _writer.Clone(), _open)
        {
            Count = Count,
            FirstId = FirstId,
            LastId = LastId,
            _sealedBytes = _sealedBytes,
            _generation = _generation,
        };
    }

    [Conditional("DEBUG")]
    public void Verify()
    {
        long live = 0, sealedBytes = 0;
        for (var at = 0; at < _blocks.Count; at++)
        {
            var block = _blocks[at];
            block.Verify();
            live += block.Live;
            sealedBytes += block == _open ? 0 : block.Bytes.Length;
            Debug.Assert(at == 0 || _blocks[at - 1].LastAddedId < block.BaseId, "Blocks are in order.");
            Debug.Assert(_open is null || at < _blocks.Count - 1 || block == _open, "Only the last block is open.");
        }

        Debug.Assert(live == Count, "The count is right.");
        Debug.Assert(sealedBytes == _sealedBytes, "The memory of every block is counted.");
        Debug.Assert(FirstId == FirstAtOrAbove(EntryId.Zero) && LastId == LastAtOrBelow(EntryId.Max), "The ends are right.");
    }

    /// <summary>The block for an entry that the open one does not take: mostly a new one.</summary>
    private EntryBlock OpenBlock(EntryId id, int maxBlockEntries)
    {
        if (_open is not null)
        {
            SealOpen();
        }
        else if (_blocks.Count > 0 && !_blocks[^1].IsClosed(maxBlockEntries))
        {
            // The open block is gone with its entries, or blocks may be larger than they were.
            _open = Own(_blocks.Count - 1);
            _sealedBytes -= _open.Bytes.Length;
            _writer.Reopen(_open);
            return _open;
        }

        _blocks.Add(_open = _writer.Open(id, _generation));
        return _open;
    }

    private void SealOpen()
    {
        var full = Own(_blocks.Count - 1);
        _writer.Seal(full);
        _sealedBytes += full.Bytes.Length;
        SqueezeIfWorth(full);
    }

    /// <summary>A block to change: a copy in its place, if a clone may have it too.</summary>
    private EntryBlock Own(int at)
    {
        var block = _blocks[at];
        if (block.Generation == _generation)
            return block;
        var own = _blocks[at] = block.Clone(_generation);
        if (block == _open)
            _open = own;
        return own;
    }

    private void RemoveBlock(int at)
    {
        if (_blocks[at] == _open)
            _open = null;
        else
            _sealedBytes -= _blocks[at].Bytes.Length;
        _blocks.RemoveAt(at);
    }

    private EntryId FirstAtOrAbove(EntryId id)
    {
        var range = From(id, EntryId.Max);
        return range.MoveNext() ? range.Current.Id : EntryId.Zero;
    }

    private EntryId LastAtOrBelow(EntryId id)
    {
        var range = From(EntryId.Zero, id, reversed: true);
        return range.MoveNext() ? range.Current.Id : EntryId.Zero;
    }

    private void SqueezeIfWorth(EntryBlock block)
    {
        if (block == _open || !block.IsWorthSqueezing || block.Live == 0)
            return;
        _sealedBytes -= block.Bytes.Length;
        EntryBlockWriter.Squeeze(block);
        _sealedBytes += block.Bytes.Length;
    }
}
