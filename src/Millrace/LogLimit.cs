namespace Millrace;

/// <summary>
/// Lets one line a minute through of what fails again and again while a store is away. One for each part and kind of failure; safe for all threads.
/// </summary>
internal sealed class LogLimit(TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private long? _last;

    /// <summary>Whether to log it now.</summary>
    public bool Allows()
    {
        lock (_lock)
        {
            if (_last is { } last && time.GetElapsedTime(last) < Interval)
                return false;
            _last = time.GetTimestamp();
            return true;
        }
    }
}
