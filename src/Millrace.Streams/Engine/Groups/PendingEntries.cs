using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>The pending entries of a group, ordered by ID, each with its owner, the time of its delivery and how often it was delivered.</summary>
/// <remarks>
/// <code>
/// _chunks  · · ┌─────────────┐ ┌─────────────┐ ┌─────────────┐ · · ·   filled from _start up to _end; no chunk is empty
///              │ · · 3 4 5 6 │ │ 7 8 9 12 13 │ │ 15 16 · · · │
///              └─────────────┘ └─────────────┘ └─────────────┘
/// _owners  [0] nobody  [1] consumer  [2] consumer  [3] free ...        items name their owner by its slot here
/// </code>
/// IDs arrive at the end and leave at the front, so both cost O(1) there and no object per entry; anywhere else O(log n) to find and at most
/// one chunk to move. A million entries read in order take 17 bytes each. There is no second structure by consumer or by time: each chunk
/// knows who may own something in it and how old its oldest is, so that searches skip most chunks.
/// </remarks>
internal sealed partial class PendingEntries
{
    private const int FirstCapacity = 4;

    /// <summary>The slot of entries that were handed back.</summary>
    internal const int Nobody = 0;

    private readonly List<Consumer?> _owners = [new("")];

    /// <summary>Slots of deleted consumers, for the next ones.</summary>
    private readonly Stack<int> _freeSlots = [];

    private PendingChunk?[] _chunks = [];
    private int _start;
    private int _end;

    /// <summary>Entries handed back since there were none, which orders them: the next one is behind all others.</summary>
    private long _releases;

    /// <summary>A chunk that was emptied, for the next one needed: a queue that runs empty again and again allocates nothing.</summary>
    private PendingChunk? _spare;

    private long _chunkBytes;

    /// <summary>Counts clones: chunks of earlier generations may be in a clone as well, and are replaced by copies before they change.</summary>
    private int _generation;

    /// <summary>Number of pending entries.</summary>
    public long Count { get; private set; }

    /// <summary>Bytes of memory: the chunks, and their places in the list.</summary>
    public long SizeBytes => _chunkBytes + (_chunks.Length * 8L);

    /// <summary>How many of them were handed back and have no owner.</summary>
    public long ReleasedCount => _owners[Nobody]!.HeldCount;

    /// <summary>The smallest ID. There must be one.</summary>
    public EntryId FirstId => At(_start).First;

    /// <summary>The largest ID. There must be one.</summary>
    public EntryId LastId => At(_end - 1).Last;

    public bool Contains(EntryId id) => TryFind(id, out _, out _);

    public bool TryGet(EntryId id, out Pending pending)
    {
        var found = TryFind(id, out var at, out var index);
        pending = found ? ToPending(At(at)[index]) : default;
        return found;
    }

    /// <summary>Sets what is known of an entry, which is pending from now on.</summary>
    /// <returns>Whether it was not pending before.</returns>
    public bool Set(EntryId id, Pending pending)
    {
        var slot = pending.Owner?.Slot ?? Nobody;
        var item = new PendingItem(id, slot == Nobody ? NextReleaseMs() : pending.DeliveredMs, pending.DeliveryCount, slot);
        Debug.Assert(pending.Owner is null || _owners[slot] == pending.Owner, "The owner is a consumer of this group.");
        _owners[slot]!.HeldCount++;
        if (_start == _end || id > LastId)
        {
            Append(item);
        }
        else if (TryFind(id, out var at, out var index))
        {
            var chunk = Own(at);
            _owners[chunk.SlotAt(index)]!.HeldCount--;
            _chunkBytes -= chunk.SizeBytes;
            chunk.Set(index, item);
            _chunkBytes += chunk.SizeBytes;
            return false;
        }
        else
        {
            Insert(at, index, item);
        }

        Count++;
        return true;
    }

    /// <summary>Takes an entry out.</summary>
    /// <returns>Whether it was pending.</returns>
    public bool Remove(EntryId id)
    {
        if (!TryFindOldest(id, out var at, out var index) && !TryFind(id, out at, out index))
            return false;
        RemoveAt(at, index);
        return true;
    }

    public bool Remove(EntryId id, out Pending removed)
    {
        removed = default;
        if (!TryFind(id, out var at, out var index))
            return false;
        removed = ToPending(At(at)[index]);
        RemoveAt(at, index);
        return true;
    }

    /// <summary>Gives a new consumer the slot by which its entries name it.</summary>
    public void AddOwner(Consumer consumer)
    {
        if (_freeSlots.TryPop(out var slot))
        {
            _owners[consumer.Slot = slot] = consumer;
            return;
        }

        consumer.Slot = _owners.Count;
        _owners.Add(consumer);
    }

    /// <summary>Forgets a consumer with what it holds.</summary>
    public void RemoveOwner(Consumer consumer)
    {
        var left = consumer.HeldCount;
        for (var at = _end - 1; at >= _start && left > 0; at--)
        {
            var chunk = At(at);
            if (!chunk.MayHold(consumer.Slot))
                continue;
            chunk = Own(at);
            var before = chunk.Count;
            chunk.RemoveOf(consumer.Slot);
            left -= before - chunk.Count;
            RemoveIfSmall(at);
        }

        Debug.Assert(left == 0, "An owner's count is right.");
        Count -= consumer.HeldCount;
        consumer.HeldCount = 0;
        _owners[consumer.Slot] = null;
        _freeSlots.Push(consumer.Slot);
    }

    /// <summary>Moves the time of every delivery ahead.</summary>
    public void SkipTime(long skippedMs)
    {
        for (var at = _start; at < _end; at++)
            Own(at).SkipTime(skippedMs);
    }

    /// <summary>
    /// The same, to be changed apart, with copies of the consumers, which are handed out. Both share each chunk until one of them changes it.
    /// </summary>
    public PendingEntries Clone(Action<Consumer> copied)
    {
        _generation++;
        var clone = new PendingEntries
        {
            Count = Count,
            _chunks = _chunks.AsSpan(_start.._end).ToArray(),
            _end = _end - _start,
            _releases = _releases,
            _chunkBytes = _chunkBytes,
            _generation = _generation,
        };
        clone._owners[Nobody] = _owners[Nobody]!.Clone();
        for (var slot = Nobody + 1; slot < _owners.Count; slot++)
        {
            var copy = _owners[slot]?.Clone();
            clone._owners.Add(copy);
            if (copy is null)
                clone._freeSlots.Push(slot);
            else
                copied(copy);
        }

        return clone;
    }

    [Conditional("DEBUG")]
    public void Verify()
    {
        long count = 0;
        var held = new long[_owners.Count];
        EntryId? previous = null;
        for (var at = _start; at < _end; at++)
        {
            var chunk = At(at);
            chunk.Verify();
            Debug.Assert(previous is null || previous < chunk.First, "Chunks are in order.");
            previous = chunk.Last;
            count += chunk.Count;
            for (var i = chunk.Start; i < chunk.End; i++)
                held[chunk.SlotAt(i)]++;
        }

        Debug.Assert(count == Count, "The count is right.");
        Debug.Assert(_chunkBytes == _chunks.Sum(static chunk => chunk?.SizeBytes ?? 0), "The memory of every chunk is counted.");
        for (var slot = 0; slot < held.Length; slot++)
        {
            Debug.Assert(held[slot] == (_owners[slot]?.HeldCount ?? 0), "Each owner's count is right.");
            Debug.Assert(_owners[slot] is null == _freeSlots.Contains(slot), "A slot without an owner is free.");
            Debug.Assert(_owners[slot] is null || _owners[slot]!.Slot == slot, "An owner knows its slot.");
        }
    }

    private PendingChunk At(int at) => _chunks[at]!;

    /// <summary>A chunk to change: a copy in its place, if a clone may have it too.</summary>
    private PendingChunk Own(int at)
    {
        var chunk = At(at);
        return chunk.Generation == _generation ? chunk : _chunks[at] = chunk.Clone(_generation);
    }

    private Pending ToPending(in PendingItem item) => item.Slot == Nobody
        ? new(null, 0, item.DeliveryCount)
        : new(_owners[item.Slot], item.DeliveredMs, item.DeliveryCount);

    /// <summary>A time before every other for what is handed back, but after those of what was handed back before.</summary>
    private long NextReleaseMs()
    {
        if (ReleasedCount == 0)
            _releases = 0;
        return Math.Min(PendingChunk.FirstReleaseMs + _releases++, -1);
    }

    /// <summary>Where an entry is, or where it would go: behind the last chunk, or at an index in a chunk with larger ones.</summary>
    private bool TryFind(EntryId id, out int at, out int index)
    {
        at = ChunkOf(id);
        index = 0;
        if (at == _end)
            return false;
        var chunk = At(at);
        index = chunk.LowerBound(id);
        return chunk.IdAt(index) == id;
    }

    /// <summary>The same for the oldest entry, which is what acknowledgements ask for most.</summary>
    private bool TryFindOldest(EntryId id, out int at, out int index)
    {
        (at, index) = (_start, 0);
        if (_start == _end)
            return false;
        var chunk = At(_start);
        index = chunk.Start;
        return chunk.IdAt(index) == id;
    }

    /// <summary>The first chunk whose last ID is not below <paramref name="id"/>, or <see cref="_end"/>.</summary>
    private int ChunkOf(EntryId id)
    {
        if (_start == _end || id > LastId)
            return _end;
        if (id <= At(_start).Last)
            return _start;

        int low = _start + 1, high = _end - 1;
        while (low < high)
        {
            var middle = (int)((uint)(low + high) >> 1);
            if (At(middle).Last < id)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }

    /// <summary>Adds an item above all others, the usual case: the last chunk takes it, or a new one.</summary>
    private void Append(in PendingItem item)
    {
        if (_start == _end || At(_end - 1).IsUsedUp)
        {
            AddChunk(_end, _spare ?? new(_start == _end ? FirstCapacity : PendingChunk.MaxCapacity, _generation));
            _spare = null;
        }

        var last = Own(_end - 1);
        Insert(last, last.End, item);
    }

    private void Insert(int at, int index, in PendingItem item)
    {
        var chunk = Own(at);
        if (chunk.IsFull)
        {
            // Entries that are delivered again arrive in order in front of larger ones: splitting where they arrive leaves full chunks behind.
            var split = Math.Max(index, chunk.Start + PendingChunk.MaxCapacity / 2);
            AddChunk(at + 1, chunk.SplitAt(split));
        }

        Insert(chunk, index, item);
    }

    private void Insert(PendingChunk chunk, int index, in PendingItem item)
    {
        _chunkBytes -= chunk.SizeBytes;
        chunk.Insert(index, item);
        _chunkBytes += chunk.SizeBytes;
    }

    private void RemoveAt(int at, int index)
    {
        var chunk = Own(at);
        _owners[chunk.SlotAt(index)]!.HeldCount--;
        Count--;
        chunk.RemoveAt(index);
        if (chunk.Count <= PendingChunk.MaxCapacity / 4)
            RemoveIfSmall(at);
    }

    private void AddChunk(int at, PendingChunk chunk)
    {
        if (_end == _chunks.Length)
        {
            // Moved to the front of the array, or of a larger one when that frees too little.
            var count = _end - _start;
            var target = _start > count ? _chunks : new PendingChunk?[Math.Max(4, count * 2)];
            Array.Copy(_chunks, _start, target, 0, count);
            if (target == _chunks)
                Array.Clear(_chunks, count, _end - count);
            (_chunks, at, _start, _end) = (target, at - _start, 0, count);
        }

        Array.Copy(_chunks, at, _chunks, at + 1, _end - at);
        _chunks[at] = chunk;
        _chunkBytes += chunk.SizeBytes;
        _end++;
    }

    /// <summary>
    /// Drops a chunk that is empty; merges one that is nearly empty with a neighbour when both together fill half of one, so that single
    /// entries left behind everywhere do not keep a chunk each.
    /// </summary>
    private void RemoveIfSmall(int at)
    {
        var chunk = At(at);
        if (chunk.Count == 0)
        {
            DropChunk(at);
            _spare = chunk.Reset();
            return;
        }

        if (at + 1 < _end && chunk.Count + At(at + 1).Count <= PendingChunk.MaxCapacity / 2)
            MergeWithNext(at);
        else if (at > _start && chunk.Count + At(at - 1).Count <= PendingChunk.MaxCapacity / 2)
            MergeWithNext(at - 1);
    }

    private void MergeWithNext(int at)
    {
        var chunk = Own(at);
        _chunkBytes -= chunk.SizeBytes;
        chunk.Append(At(at + 1));
        _chunkBytes += chunk.SizeBytes;
        DropChunk(at + 1);
    }

    private void DropChunk(int at)
    {
        _chunkBytes -= At(at).SizeBytes;
        if (at == _start)
        {
            _chunks[_start++] = null;
            return;
        }

        Array.Copy(_chunks, at + 1, _chunks, at, _end - at - 1);
        _chunks[--_end] = null;
    }
}
