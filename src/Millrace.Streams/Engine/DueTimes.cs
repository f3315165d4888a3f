namespace Millrace.Streams.Engine;

/// <summary>
/// When the next thing happens by itself: at most one moment per key, the expiry of a state document or the head of a schedule.
/// Exact, not lazy: a document that is put again and again with a long time to live leaves nothing behind.
/// </summary>
internal sealed class DueTimes
{
    private readonly SortedSet<(long DueMs, string Key)> _due = new(Comparer<(long DueMs, string Key)>.Create(
        static (left, right) => left.DueMs != right.DueMs ? left.DueMs.CompareTo(right.DueMs) : string.CompareOrdinal(left.Key, right.Key)));

    public int Count => _due.Count;

    /// <summary>The next moment in Unix milliseconds; <see cref="long.MaxValue"/> when nothing is planned.</summary>
    public long NextMs { get; private set; } = long.MaxValue;

    /// <summary>Moves a key from one moment to another; null means none.</summary>
    public void Move(string key, long? fromMs, long? toMs)
    {
        if (fromMs == toMs)
            return;
        if (fromMs is { } from)
            _due.Remove((from, key));
        if (toMs is { } to)
            _due.Add((to, key));
        NextMs = _due.Count == 0 ? long.MaxValue : _due.Min.DueMs;
    }

    /// <summary>The key that is due first, if it is due by now.</summary>
    public bool TryPeekDue(long nowMs, out string key)
    {
        var isDue = NextMs <= nowMs;
        key = isDue ? _due.Min.Key : "";
        return isDue;
    }

    public bool Contains(long dueMs, string key) => _due.Contains((dueMs, key));
}
