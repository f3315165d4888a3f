namespace Millrace.Streams.Engine;

/// <summary>
/// When the next thing happens by itself: at most one moment per key, its expiry or the head of a schedule, whichever is first.
/// Exact, not lazy: a document that is put again and again with a long time to live leaves nothing behind.
/// </summary>
internal sealed class DueTimes
{
    private readonly SortedSet<(long DueMs, int Database, string Key)> _due =
        new(Comparer<(long DueMs, int Database, string Key)>.Create(static (left, right) =>
            left.DueMs != right.DueMs ? left.DueMs.CompareTo(right.DueMs)
            : left.Database != right.Database ? left.Database.CompareTo(right.Database)
            : string.CompareOrdinal(left.Key, right.Key)));

    public int Count => _due.Count;

    /// <summary>The next moment in Unix milliseconds; <see cref="long.MaxValue"/> when nothing is planned.</summary>
    public long NextMs { get; private set; } = long.MaxValue;

    /// <summary>Registers a value for the moment it says now; <see cref="long.MaxValue"/> takes it out.</summary>
    public void Move(int database, KeyspaceValue value, long toMs)
    {
        if (value.RegisteredDueMs == toMs)
            return;
        if (value.RegisteredDueMs != long.MaxValue)
            _due.Remove((value.RegisteredDueMs, database, value.Key));
        if (toMs != long.MaxValue)
            _due.Add((toMs, database, value.Key));
        value.RegisteredDueMs = toMs;
        NextMs = _due.Count == 0 ? long.MaxValue : _due.Min.DueMs;
    }

    /// <summary>The key that is due first, if it is due by now.</summary>
    public bool TryPeekDue(long nowMs, out int database, out string key)
    {
        var isDue = NextMs <= nowMs;
        (_, database, key) = isDue ? _due.Min : (0L, 0, "");
        return isDue;
    }

    public bool Contains(int database, KeyspaceValue value) => _due.Contains((value.RegisteredDueMs, database, value.Key));
}
