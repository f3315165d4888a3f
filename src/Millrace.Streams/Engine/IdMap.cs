using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Millrace.Streams.Engine;

/// <summary>
/// An ordered map from entry ID to a value: the entries of a stream, the pending entries of a group, the holdings of a consumer.
/// </summary>
/// <remarks>
/// <code>
/// _chunks  ┌─────────────┐ ┌─────────────┐ ┌─────────────┐   each a pair of arrays, sorted by ID,
///          │ · · 3 4 5 6 │ │ 7 8 9 12 13 │ │ 15 16 · · · │   filled from Start up to End;
///          └─────────────┘ └─────────────┘ └─────────────┘   never empty
/// </code>
/// IDs arrive at the end and leave at the front, so both cost O(1) there and no object per item; anywhere else O(log n) to find and at most
/// one chunk to move. Chunks are not merged when items leave from their middle: what is left of them soon leaves at the front.
/// </remarks>
internal sealed partial class IdMap<TValue>
{
    /// <summary>
    /// Large enough that the list of chunks stays short (a million items: 8,000 chunks), small enough that moving half of one is cheap.
    /// </summary>
    public const int ChunkCapacity = 128;

    private const int FirstCapacity = 4;

    private readonly List<Chunk> _chunks = [];

    /// <summary>A chunk that was emptied, for the next one needed: a queue that runs empty again and again allocates nothing.</summary>
    private Chunk? _spare;

    /// <summary>Number of items.</summary>
    public long Count { get; private set; }

    /// <summary>The smallest ID. There must be one.</summary>
    public EntryId FirstId => _chunks[0].First;

    /// <summary>The largest ID. There must be one.</summary>
    public EntryId LastId => _chunks[^1].Last;

    public bool Contains(EntryId id) => !Unsafe.IsNullRef(ref Find(id));

    public bool TryGet(EntryId id, out TValue value)
    {
        ref var found = ref Find(id);
        var exists = !Unsafe.IsNullRef(ref found);
        value = exists ? found : default!;
        return exists;
    }

    /// <summary>The place of an item's value, or a null reference. Valid until the map changes.</summary>
    public ref TValue Find(EntryId id)
    {
        var at = ChunkOf(id);
        if (at < _chunks.Count)
        {
            var chunk = _chunks[at];
            var index = chunk.IndexOf(id);
            if (index >= 0)
                return ref chunk.Values[index];
        }

        return ref Unsafe.NullRef<TValue>();
    }

    /// <summary>Adds an item with an ID that is not in the map.</summary>
    public void Add(EntryId id, TValue value)
    {
        Count++;
        var at = ChunkOf(id);
        if (at == _chunks.Count)
        {
            // Above every ID, the usual case: the last chunk takes it, or a new one.
            if (at == 0 || _chunks[^1].IsUsedUp)
                _chunks.Add(TakeSpare() ?? new(at == 0 ? FirstCapacity : ChunkCapacity));
            var last = _chunks[^1];
            last.Insert(last.End, id, value);
            return;
        }

        var chunk = _chunks[at];
        var index = ~chunk.IndexOf(id);
        Debug.Assert(index >= 0, "The ID is in the map already.");
        if (chunk.IsFull)
        {
            var upper = chunk.SplitUpperHalf();
            _chunks.Insert(at + 1, upper);
            if (index > chunk.End)
            {
                index -= chunk.End;
                chunk = upper;
            }
        }

        chunk.Insert(index, id, value);
    }

    public bool Remove(EntryId id) => Remove(id, out _);

    public bool Remove(EntryId id, out TValue value)
    {
        var at = ChunkOf(id);
        var index = at < _chunks.Count ? _chunks[at].IndexOf(id) : -1;
        if (index < 0)
        {
            value = default!;
            return false;
        }

        var chunk = _chunks[at];
        value = chunk.Values[index];
        chunk.RemoveAt(index);
        if (chunk.Count == 0)
        {
            _chunks.RemoveAt(at);
            _spare = chunk.Reset();
        }

        Count--;
        return true;
    }

    /// <summary>Drops the smallest items, or only as many as are whole chunks.</summary>
    /// <returns>How many were dropped.</returns>
    public long RemoveFirst(long count, bool wholeChunks)
    {
        long dropped = 0;
        var chunks = 0;
        while (chunks < _chunks.Count && _chunks[chunks].Count <= count - dropped)
            dropped += _chunks[chunks++].Count;
        if (chunks > 0)
        {
            _spare = _chunks[0].Reset();
            _chunks.RemoveRange(0, chunks);
        }

        if (!wholeChunks && dropped < count && _chunks.Count > 0)
        {
            _chunks[0].RemoveFirst((int)(count - dropped));
            dropped = count;
        }

        Count -= dropped;
        return dropped;
    }

    /// <summary>Drops the items below an ID, or only those that are whole chunks.</summary>
    /// <returns>How many were dropped.</returns>
    public long RemoveBelow(EntryId id, bool wholeChunks)
    {
        var at = ChunkOf(id);
        long below = 0;
        for (var i = 0; i < at; i++)
            below += _chunks[i].Count;
        if (!wholeChunks && at < _chunks.Count)
            below += _chunks[at].LowerBound(id) - _chunks[at].Start;
        return RemoveFirst(below, wholeChunks);
    }

    /// <summary>Counts the items from one ID to another, both included, but not further than <paramref name="limit"/>.</summary>
    public int CountRange(EntryId first, EntryId last, int limit)
    {
        long count = 0;
        for (var at = ChunkOf(first); at < _chunks.Count && count < limit && _chunks[at].First <= last; at++)
        {
            var chunk = _chunks[at];
            var from = chunk.First < first ? chunk.LowerBound(first) : chunk.Start;
            var to = chunk.Last > last ? chunk.LowerBound(last.Next()) : chunk.End;
            count += to - from;
        }

        return (int)Math.Min(count, limit);
    }

    /// <summary>The items from one ID to another, both included, in order or in reverse. The map must not change meanwhile.</summary>
    public Range From(EntryId first, EntryId last, bool reversed = false) => new(this, first, last, reversed);

    /// <summary>All items in order.</summary>
    public Range GetEnumerator() => From(EntryId.Zero, EntryId.Max);

    [Conditional("DEBUG")]
    public void Verify()
    {
        long count = 0;
        EntryId? previous = null;
        foreach (var (id, _) in this)
        {
            Debug.Assert(previous is null || previous < id, "IDs are in order.");
            previous = id;
            count++;
        }

        Debug.Assert(count == Count, "The count is right.");
        Debug.Assert(_chunks.TrueForAll(chunk => chunk.Count > 0), "No chunk is empty.");
    }

    private Chunk? TakeSpare()
    {
        var spare = _spare;
        _spare = null;
        return spare;
    }

    /// <summary>
    /// The index of the first chunk whose last ID is not below <paramref name="id"/>; the number of chunks when there is none.
    /// </summary>
    private int ChunkOf(EntryId id)
    {
        if (_chunks.Count == 0 || id > _chunks[^1].Last)
            return _chunks.Count;
        if (id <= _chunks[0].Last)
            return 0;

        int low = 1, high = _chunks.Count - 1;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_chunks[middle].Last < id)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }

    /// <summary>Walks a range of the map without allocating.</summary>
    public struct Range
    {
        private readonly List<Chunk> _chunks;
        private readonly EntryId _bound;
        private readonly bool _reversed;
        private int _at;
        private int _index;

        internal Range(IdMap<TValue> map, EntryId first, EntryId last, bool reversed)
        {
            _chunks = map._chunks;
            _reversed = reversed;
            _bound = reversed ? first : last;
            if (!reversed)
            {
                _at = map.ChunkOf(first);
                _index = _at < _chunks.Count ? _chunks[_at].LowerBound(first) - 1 : 0;
                return;
            }

            _at = map.ChunkOf(last);
            if (_at == _chunks.Count)
            {
                _at--;
                _index = _at < 0 ? 0 : _chunks[_at].End;
            }
            else
            {
                var index = _chunks[_at].LowerBound(last);
                _index = _chunks[_at].Ids[index] == last ? index + 1 : index;
            }
        }

        public readonly KeyValuePair<EntryId, TValue> Current => new(_chunks[_at].Ids[_index], _chunks[_at].Values[_index]);

        public readonly Range GetEnumerator() => this;

        public bool MoveNext() => _reversed ? MoveBack() : MoveForward();

        private bool MoveForward()
        {
            if (_at >= _chunks.Count)
                return false;
            if (++_index >= _chunks[_at].End)
            {
                if (++_at >= _chunks.Count)
                    return false;
                _index = _chunks[_at].Start;
            }

            return _chunks[_at].Ids[_index] <= _bound;
        }

        private bool MoveBack()
        {
            if (_at < 0)
                return false;
            if (--_index < _chunks[_at].Start)
            {
                if (--_at < 0)
                    return false;
                _index = _chunks[_at].End - 1;
            }

            return _chunks[_at].Ids[_index] >= _bound;
        }
    }
}
