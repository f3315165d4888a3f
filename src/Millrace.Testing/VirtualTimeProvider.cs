namespace Millrace.Testing;

/// <summary>
/// A clock that stands still until a test moves it. Timers fire on the thread that moves it, each at its own moment, in the order they are
/// due. Safe for concurrent use, but to be moved by one thread at a time.
/// </summary>
/// <remarks>
/// Moving it alone does not wait for what its timers set in motion; <see cref="MillraceTestHost.AdvanceAsync"/> does.
/// </remarks>
public sealed class VirtualTimeProvider : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<VirtualTimer> _timers = [];
    private readonly List<(TimeSpan Least, TimeSpan Most, TaskCompletionSource Seen)> _waiters = [];
    private DateTimeOffset _now;

    /// <summary>Makes a clock that shows noon, UTC, of 1 January 2026.</summary>
    public VirtualTimeProvider()
        : this(new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero))
    {
    }

    /// <summary>Makes a clock that shows a moment.</summary>
    /// <param name="start">The moment.</param>
    public VirtualTimeProvider(DateTimeOffset start) => _now = start.ToUniversalTime();

    /// <inheritdoc/>
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>UTC, so that a test means the same on every machine.</summary>
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    /// <summary>When the next timer fires, or <see langword="null"/>: none is set.</summary>
    public DateTimeOffset? NextTimer
    {
        get
        {
            lock (_lock)
                return _timers.Count == 0 ? null : _timers.Min(static timer => timer.Due);
        }
    }

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
            return _now;
    }

    /// <inheritdoc/>
    public override long GetTimestamp() => GetUtcNow().Ticks;

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new VirtualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves the clock and fires what becomes due on the way, each at its own moment.</summary>
    /// <param name="span">By how much; not negative.</param>
    public void Advance(TimeSpan span)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(span, TimeSpan.Zero);
        AdvanceTo(GetUtcNow() + span);
    }

    /// <summary>Ends when a timer is set that fires in exactly this time: what is under test has come to wait.</summary>
    /// <param name="due">The time.</param>
    public Task WaitForTimerAsync(TimeSpan due) => WaitForTimerAsync(due, due);

    /// <summary>The same for a time that is drawn at random.</summary>
    /// <param name="least">The shortest it may be.</param>
    /// <param name="most">The longest it may be.</param>
    /// <exception cref="TimeoutException">No such timer was set within a real minute.</exception>
    public Task WaitForTimerAsync(TimeSpan least, TimeSpan most)
    {
        lock (_lock)
        {
            if (_timers.Exists(timer => timer.Due - _now >= least && timer.Due - _now <= most))
                return Task.CompletedTask;
            var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((least, most, seen));
            return seen.Task.WaitAsync(TimeSpan.FromMinutes(1), System);
        }
    }

    /// <summary>As <see cref="Advance"/>, up to a moment; one that has passed fires what is due and leaves the clock.</summary>
    internal void AdvanceTo(DateTimeOffset end)
    {
        while (true)
        {
            VirtualTimer? next;
            lock (_lock)
            {
                next = _timers.Where(timer => timer.Due <= end).MinBy(static timer => timer.Due);
                if (next is null)
                {
                    _now = end > _now ? end : _now;
                    return;
                }

                _now = next.Due > _now ? next.Due : _now;
                _timers.Remove(next);
                if (next.Period > TimeSpan.Zero)
                {
                    next.Due = _now + next.Period;
                    _timers.Add(next);
                }
            }

            next.Fire();
        }
    }

    private sealed class VirtualTimer(VirtualTimeProvider time, TimerCallback callback, object? state) : ITimer
    {
        private bool _isDisposed;

        public DateTimeOffset Due { get; set; }

        public TimeSpan Period { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            List<TaskCompletionSource> seen;
            lock (time._lock)
            {
                if (_isDisposed)
                    return false;
                time._timers.Remove(this);
                Period = period;
                if (dueTime == Timeout.InfiniteTimeSpan)
                    return true;
                Due = time._now + (dueTime > TimeSpan.Zero ? dueTime : period);
                if (dueTime > TimeSpan.Zero || period > TimeSpan.Zero)
                    time._timers.Add(this);
                seen = [.. time._waiters.Where(waiter => waiter.Least <= dueTime && dueTime <= waiter.Most).Select(static waiter => waiter.Seen)];
                time._waiters.RemoveAll(waiter => waiter.Least <= dueTime && dueTime <= waiter.Most);
            }

            foreach (var waiter in seen)
                waiter.TrySetResult();
            if (dueTime == TimeSpan.Zero)
                ThreadPool.QueueUserWorkItem(static timer => timer.Fire(), this, preferLocal: false);
            return true;
        }

        public void Dispose()
        {
            lock (time._lock)
            {
                _isDisposed = true;
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
