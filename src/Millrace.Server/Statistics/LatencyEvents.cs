namespace Millrace.Server.Statistics;

/// <summary>
/// The latest times when something took so long that others had to wait: a <c>command</c>, or a <c>fast-command</c>, which takes constant or
/// logarithmic time. Redis has more events; the others cannot happen here. Under the store's lock.
/// </summary>
internal sealed class LatencyEvents
{
    /// <summary>Samples kept of each event, as in Redis.</summary>
    private const int MaxSamples = 160;

    private readonly SortedDictionary<string, LatencyEvent> _events = new(StringComparer.Ordinal);

    /// <summary>Milliseconds from which on something counts as long; 0: nothing is kept (<c>latency-monitor-threshold</c>). Default 0, as Redis.</summary>
    public long LeastMilliseconds { get; set; }

    public IReadOnlyDictionary<string, LatencyEvent> Events => _events;

    public void Add(string name, TimeSpan time, long nowMs)
    {
        if (LeastMilliseconds == 0 || time.TotalMilliseconds < LeastMilliseconds)
            return;
        if (!_events.TryGetValue(name, out var found))
            _events.Add(name, found = new());
        found.Add(nowMs / 1000, (long)time.TotalMilliseconds, MaxSamples);
    }

    /// <summary>Forgets an event.</summary>
    /// <returns>Whether there was one.</returns>
    public bool Remove(string name) => _events.Remove(name);

    public void Clear() => _events.Clear();
}

/// <summary>The samples of one event: at most one for each second, the longest.</summary>
internal sealed class LatencyEvent
{
    private readonly List<(long Seconds, long Milliseconds)> _samples = [];

    public IReadOnlyList<(long Seconds, long Milliseconds)> Samples => _samples;

    /// <summary>The longest ever.</summary>
    public long MaxMilliseconds { get; private set; }

    public void Add(long seconds, long milliseconds, int maxSamples)
    {
        MaxMilliseconds = Math.Max(MaxMilliseconds, milliseconds);
        if (_samples.Count > 0 && _samples[^1].Seconds == seconds)
        {
            _samples[^1] = (seconds, Math.Max(milliseconds, _samples[^1].Milliseconds));
            return;
        }

        if (_samples.Count >= maxSamples)
            _samples.RemoveAt(0);
        _samples.Add((seconds, milliseconds));
    }
}
