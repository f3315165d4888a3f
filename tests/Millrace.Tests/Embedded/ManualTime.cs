namespace Millrace.Tests.Embedded;

/// <summary>
/// Two clocks that stand still until the test moves them, together or apart. Timers go by the monotonic one, and fire on the thread that moves it.
/// </summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now = DateTimeOffset.UnixEpoch.AddDays(20_000);
    private TimeSpan _elapsed;

    /// <summary>Timers that are set.</summary>
    public int SetTimers
    {
        get
        {
            lock (_lock)
                return _timers.Count(timer => timer.Due is not null);
        }
    }

    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
            return _now;
    }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp()
    {
        lock (_lock)
            return _elapsed.Ticks;
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, () => callback(state));
        lock (_lock)
            _timers.Add(timer);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Lets time pass, and fires what is due then.</summary>
    public void Move(TimeSpan by) => Move(by, by);

    /// <summary>Sets the wall clock, also back. No time passes.</summary>
    public void Jump(TimeSpan by) => Move(TimeSpan.Zero, by);

    /// <summary>Lets time pass by the one clock and by the other.</summary>
    public void Move(TimeSpan elapsed, TimeSpan wall)
    {
        lock (_lock)
            (_elapsed, _now) = (_elapsed + elapsed, _now + wall);
        while (TakeDue() is { } timer)
            timer.Fire();
    }

    private ManualTimer? TakeDue()
    {
        lock (_lock)
        {
            var due = _timers.Where(timer => timer.Due <= _elapsed).MinBy(timer => timer.Due);
            if (due is not null)
                due.Due = null;
            return due;
        }
    }

    private sealed class ManualTimer(ManualTime time, Action callback) : ITimer
    {
        public TimeSpan? Due { get; set; }

        public void Fire() => callback();

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time._lock)
                Due = dueTime == Timeout.InfiniteTimeSpan ? null : time._elapsed + dueTime;
            return true;
        }

        public void Dispose()
        {
            lock (time._lock)
            {
                Due = null;
                time._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
