namespace Millrace.Streams.Engine;

internal sealed partial class PendingEntries
{
    /// <summary>
    /// The entries from one ID to another, both included, in order. Meanwhile <see cref="Set"/> may change entries that are pending, but
    /// none may come or leave.
    /// </summary>
    public Walk From(EntryId first, EntryId last) => new(this, null, first, last);

    /// <summary>
    /// A consumer's entries from one ID to another, both included, in order. Meanwhile <see cref="Set"/> may change them, but none may come,
    /// leave or change hands. Costs a look at each chunk up to the last entry it holds.
    /// </summary>
    public Walk HeldBy(Consumer consumer, EntryId first, EntryId last) => new(this, consumer, first, last);

    /// <summary>All entries in order.</summary>
    public Walk GetEnumerator() => From(EntryId.Zero, EntryId.Max);

    /// <summary>
    /// The entries that may be claimed after a least idle time, longest idle first and by ID among equals; what was handed back comes before
    /// them, in the order in which it was.
    /// Costs a look at each chunk and at the entries of those that are old enough.
    /// </summary>
    /// <param name="nowMs">Unix milliseconds.</param>
    /// <param name="minIdleMs">The least idle time.</param>
    /// <param name="count">The most to return.</param>
    /// <param name="where">Which of them count, or null for all.</param>
    public EntryId[] LongestIdle(long nowMs, long minIdleMs, int count, Predicate<EntryId>? where = null)
    {
        // As with Pending.IsIdle, a clock that went back makes nothing less idle than zero, and nobody's entries are always idle.
        var dueMs = minIdleMs <= 0 ? long.MaxValue : nowMs - minIdleMs;
        PriorityQueue<EntryId, (long DeliveredMs, EntryId Id)>? found = null;
        for (var at = _start; at < _end && count > 0; at++)
        {
            var chunk = At(at);
            if (chunk.OldestMs > Math.Max(dueMs, 0) || (found?.Count == count && IsTooYoung(found, chunk.OldestMs)))
                continue;

            var oldestMs = long.MaxValue;
            for (var i = chunk.Start; i < chunk.End; i++)
            {
                var deliveredMs = chunk.DeliveredAt(i);
                oldestMs = Math.Min(oldestMs, deliveredMs);
                if (deliveredMs > dueMs && chunk.SlotAt(i) != Nobody)
                    continue;
                if (found?.Count == count && IsTooYoung(found, deliveredMs))
                    continue;
                var id = chunk.IdAt(i);
                if (where is not null && !where(id))
                    continue;
                found ??= new(LongestIdleLast);
                if (found.Count == count)
                    found.Dequeue();
                found.Enqueue(id, (deliveredMs, id));
            }

            if (oldestMs > chunk.OldestMs)
                chunk.Tighten();
        }

        return found is null ? [] : Drain(found);
    }

    /// <summary>What was handed back, in claim order.</summary>
    public EntryId[] Released() => LongestIdle(0, long.MaxValue, (int)Math.Min(ReleasedCount, int.MaxValue));

    /// <summary>
    /// When the next entry, of those that are not yet, may be claimed after a least idle time. It may be too early, and then is later when
    /// asked again. <see cref="long.MaxValue"/> when there is none.
    /// </summary>
    public long NextIdleMs(long nowMs, long minIdleMs)
    {
        var next = long.MaxValue;
        for (var at = _start; at < _end; at++)
        {
            var chunk = At(at);
            if (IdleAt(chunk.OldestMs) > nowMs)
            {
                next = Math.Min(next, IdleAt(chunk.OldestMs));
                continue;
            }

            for (var i = chunk.Start; i < chunk.End; i++)
            {
                var idleAtMs = IdleAt(chunk.DeliveredAt(i));
                if (idleAtMs > nowMs && chunk.SlotAt(i) != Nobody)
                    next = Math.Min(next, idleAtMs);
            }
        }

        return next;

        long IdleAt(long deliveredMs) => deliveredMs > long.MaxValue - minIdleMs ? long.MaxValue : deliveredMs + minIdleMs;
    }

    private static readonly IComparer<(long, EntryId)> LongestIdleLast =
        Comparer<(long DeliveredMs, EntryId Id)>.Create(static (a, b) => b.CompareTo(a));

    /// <summary>Whether none of a time can replace one that is found. Those found have smaller IDs, so equal times come behind.</summary>
    private static bool IsTooYoung(PriorityQueue<EntryId, (long, EntryId)> found, long deliveredMs) =>
        found.TryPeek(out _, out var youngest) && deliveredMs >= youngest.Item1;

    private static EntryId[] Drain(PriorityQueue<EntryId, (long, EntryId)> found)
    {
        var ids = new EntryId[found.Count];
        for (var i = ids.Length - 1; i >= 0; i--)
            ids[i] = found.Dequeue();
        return ids;
    }

    /// <summary>Walks a range without allocating.</summary>
    public struct Walk
    {
        private readonly PendingEntries _entries;
        private readonly int _slot;
        private readonly EntryId _last;
        private long _left;
        private int _at;
        private int _index;

        internal Walk(PendingEntries entries, Consumer? owner, EntryId first, EntryId last)
        {
            _entries = entries;
            _slot = owner?.Slot ?? -1;
            _left = owner?.HeldCount ?? entries.Count;
            _last = last;
            _at = _left == 0 ? entries._end : entries.ChunkOf(first);
            _index = _at < entries._end ? entries.At(_at).LowerBound(first) - 1 : 0;
        }

        public readonly KeyValuePair<EntryId, Pending> Current
        {
            get
            {
                var item = _entries.At(_at)[_index];
                return new(item.Id, _entries.ToPending(item));
            }
        }

        public readonly Walk GetEnumerator() => this;

        public bool MoveNext()
        {
            if (_left == 0)
                return false;
            for (; _at < _entries._end; _at++, _index = -1)
            {
                var chunk = _entries.At(_at);
                var from = Math.Max(_index + 1, chunk.Start);
                _index = _slot < 0 ? from : chunk.MayHold(_slot) ? chunk.NextOf(_slot, from) : chunk.End;
                if (_index == chunk.End)
                    continue;
                _left--;
                return chunk.IdAt(_index) <= _last;
            }

            return false;
        }
    }
}
