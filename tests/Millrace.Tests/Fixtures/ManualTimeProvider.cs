namespace Millrace.Tests.Fixtures;

/// <summary>A clock that stands still until a test moves it. Timers fire on the thread that does, in the order they are due.</summary>
public sealed class ManualTimeProvider : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private readonly List<(TimeSpan Least, TimeSpan Most, TaskCompletionSource Seen)> _waiters = [];
    private DateTimeOffset _now = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
            return _now;
    }

    public override long GetTimestamp() => GetUtcNow().Ticks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves the clock and fires what becomes due on the way, each at its own moment.</summary>
    public void Advance(TimeSpan span)
    {
        var end = GetUtcNow() + span;
        while (true)
        {
            ManualTimer? next;
            lock (_lock)
            {
                next = _timers.Where(timer => timer.Due <= end).MinBy(timer => timer.Due);
                if (next is null)
                {
                    _now = end;
                    return;
                }

                _now = next.Due > _now ? next.Due.Value : _now;
                next.Due = next.Period > TimeSpan.Zero ? _now + next.Period : null;
                if (next.Due is null)
                    _timers.Remove(next);
            }

            next.Fire();
        }
    }

    /// <summary>Ends when a timer is set that fires in exactly this time: what is under test has come to wait.</summary>
    public Task WaitForTimerAsync(TimeSpan due) => WaitForTimerAsync(due, due);

    /// <summary>The same for a time that is drawn at random.</summary>
    public Task WaitForTimerAsync(TimeSpan least, TimeSpan most)
    {
        lock (_lock)
        {
            if (_timers.Exists(timer => timer.Due - _now >= least && timer.Due - _now <= most))
                return Task.CompletedTask;
            var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((least, most, seen));
            return seen.Task.WaitAsync(Eventually.Deadline);
        }
    }

    private sealed class ManualTimer(ManualTimeProvider time, TimerCallback callback, object? state) : ITimer
    {
        public DateTimeOffset? Due { get; set; }

        public TimeSpan Period { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            List<TaskCompletionSource> seen = [];
            var fireNow = false;
            lock (time._lock)
            {
                time._timers.Remove(this);
                Period = period;
                Due = null;
                if (dueTime == Timeout.InfiniteTimeSpan)
                    return true;
                if (dueTime == TimeSpan.Zero)
                {
                    fireNow = true;
                    Due = period > TimeSpan.Zero ? time._now + period : null;
                }
                else
                {
                    Due = time._now + dueTime;
                }

                if (Due is not null)
                    time._timers.Add(this);
                seen.AddRange(time._waiters.Where(waiter => waiter.Least <= dueTime && dueTime <= waiter.Most).Select(waiter => waiter.Seen));
                time._waiters.RemoveAll(waiter => waiter.Least <= dueTime && dueTime <= waiter.Most);
            }

            foreach (var waiter in seen)
                waiter.TrySetResult();
            if (fireNow)
                ThreadPool.QueueUserWorkItem(static timer => timer.Fire(), this, preferLocal: false);
            return true;
        }

        public void Dispose()
        {
            lock (time._lock)
                time._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
