namespace Millrace.Tests.Simulation;

/// <summary>A wall clock that jumps, and timers that follow another clock, which does not. Timers fire on the thread that moves the time.</summary>
internal sealed class SimulatedTime : TimeProvider
{
    private readonly List<SimulatedTimer> _timers = [];
    private DateTimeOffset _now = DateTimeOffset.UnixEpoch.AddDays(20_000);

    /// <summary>Milliseconds since the start that no jump changes.</summary>
    public long ElapsedMs { get; private set; }

    /// <summary>Called after each timer. False: the process has ended in it, and time stands still until the next one starts.</summary>
    public Func<bool>? Fired { get; set; }

    public override long TimestampFrequency => 1000;

    public override long GetTimestamp() => ElapsedMs;

    public override DateTimeOffset GetUtcNow() => _now;

    /// <summary>Sets the wall clock, as an administrator or a time server does.</summary>
    public void Jump(TimeSpan by) => _now += by;

    /// <summary>Lets time go by and fires what is due, one after the other.</summary>
    public void Advance(int ms)
    {
        var end = ElapsedMs + ms;
        while (_timers.Where(timer => timer.DueMs <= end).MinBy(timer => timer.DueMs) is { } timer)
        {
            Move(Math.Max(ElapsedMs, timer.DueMs));
            timer.Fire();
            if (Fired?.Invoke() is false)
                return;
        }

        Move(Math.Max(ElapsedMs, end));
    }

    /// <summary>The process ended, and its timers with it.</summary>
    public void ForgetTimers() => _timers.Clear();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new SimulatedTimer(this, callback, state);
        _timers.Add(timer);
        timer.Change(dueTime, period);
        return timer;
    }

    private void Move(long toMs)
    {
        _now += TimeSpan.FromMilliseconds(toMs - ElapsedMs);
        ElapsedMs = toMs;
    }

    private sealed class SimulatedTimer(SimulatedTime time, TimerCallback callback, object? state) : ITimer
    {
        private TimeSpan _period = Timeout.InfiniteTimeSpan;

        public long DueMs { get; private set; } = long.MaxValue;

        public void Fire()
        {
            Change(_period, _period);
            callback(state);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            _period = period;
            DueMs = dueTime == Timeout.InfiniteTimeSpan ? long.MaxValue : time.ElapsedMs + (long)Math.Ceiling(dueTime.TotalMilliseconds);
            return true;
        }

        public void Dispose()
        {
            DueMs = long.MaxValue;
            time._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
