using System.Diagnostics;

namespace Millrace.Embedded.Journal;

/// <summary>The time in which a sync waits for those whom the one before released.</summary>
/// <param name="end">Ends it, unless all have come.</param>
/// <param name="expected">How many are to come.</param>
/// <param name="maxTicks">For how long at most. Not by the store's clock: the time is the processor's, also where the store's stands still.</param>
internal sealed class Gathering(Action<Gathering> end, int expected, long maxTicks)
{
    private readonly long _endsAt = Stopwatch.GetTimestamp() + maxTicks;

    private volatile bool _isOver;

    public int Expected => expected;

    /// <summary>Whether the sync has begun.</summary>
    public bool IsOver
    {
        get => _isOver;
        set => _isOver = value;
    }

    public bool IsLate(long now) => now >= _endsAt;

    public void End() => end(this);
}
