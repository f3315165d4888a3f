namespace Millrace.EntityFrameworkCore;

/// <summary>What must not be relayed for a while because the store refused it: rows of one order key, or a whole stream.</summary>
internal sealed class RelayHolds(TimeProvider time)
{
    // More would make the query long: then the streams of further rows are held as a whole.
    private const int MaxKeys = 100;

    private readonly Dictionary<long, long> _keys = [];
    private readonly Dictionary<string, long> _streams = new(StringComparer.Ordinal);

    public IReadOnlyCollection<long> Keys => _keys.Keys;

    public IReadOnlyCollection<string> Streams => _streams.Keys;

    public void HoldKey(OutboxRow row, TimeSpan wait)
    {
        if (_keys.Count >= MaxKeys)
            HoldStream(row.Stream, wait);
        else
            _keys[row.OrderKey] = Until(wait);
    }

    public void HoldStream(string stream, TimeSpan wait) => _streams[stream] = Until(wait);

    /// <summary>Lets go what has waited long enough.</summary>
    public void Expire()
    {
        var now = time.GetTimestamp();
        Expire(_keys, now);
        Expire(_streams, now);
    }

    /// <summary>How long the next one waits, zero when it has waited long enough; <see langword="null"/>: nothing is held.</summary>
    public TimeSpan? NextExpiry()
    {
        if (_keys.Count + _streams.Count == 0)
            return null;
        var (now, next) = (time.GetTimestamp(), _keys.Values.Concat(_streams.Values).Min());
        return next > now ? time.GetElapsedTime(now, next) : TimeSpan.Zero;
    }

    private static void Expire<T>(Dictionary<T, long> held, long now)
        where T : notnull
    {
        foreach (var (what, until) in held)
        {
            if (until <= now)
                held.Remove(what);
        }
    }

    private long Until(TimeSpan wait) => time.GetTimestamp() + (long)(wait.TotalSeconds * time.TimestampFrequency);
}
