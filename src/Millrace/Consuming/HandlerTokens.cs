using System.Collections.Concurrent;

namespace Millrace.Consuming;

/// <summary>
/// The sources of running handlers' tokens, with the group's time limit. One that was never cancelled serves the next handler: a new one with
/// its timer would be a third of what handling a message allocates. A handler's token is its own while it runs, and means nothing afterwards.
/// </summary>
internal sealed class HandlerTokens(TimeSpan timeLimit, TimeProvider time)
{
    // Of other clocks' timers nobody knows whether they are about to fire when they are stopped.
    private readonly bool _canReset = timeLimit == Timeout.InfiniteTimeSpan || time == TimeProvider.System;

    // As many as ever ran at once, which the group's concurrency bounds. Each thread finds its own first: processors that handle side by side
    // must not meet here for every message.
    private readonly ConcurrentBag<CancellationTokenSource> _spares = [];

    /// <summary>A source whose time begins now.</summary>
    public CancellationTokenSource Rent()
    {
        if (timeLimit == Timeout.InfiniteTimeSpan)
            return _spares.TryTake(out var endless) ? endless : new();
        if (!_canReset)
            return new(timeLimit, time);
        var source = _spares.TryTake(out var spare) ? (LimitedSource)spare : new(timeLimit);
        source.Begin();
        return source;
    }

    /// <summary>Takes a source back that nobody will cancel any more but its own time.</summary>
    public void Return(CancellationTokenSource source)
    {
        (source as LimitedSource)?.End();
        if (_canReset && source.TryReset())
            _spares.Add(source);
        else
            source.Dispose();
    }

    /// <summary>
    /// Its timer is not set and stopped for each handler, which costs more than all else here, but goes on until it fires, and is then set for what is left
    /// of the time of the handler that runs.
    /// </summary>
    private sealed class LimitedSource : CancellationTokenSource
    {
        private readonly TimeSpan _limit;
        private readonly Timer _timer;
        private long _endsAt;
        private bool _isRunning;
        private bool _isSet;

        public LimitedSource(TimeSpan limit)
        {
            _limit = limit;
            _timer = new(static source => ((LimitedSource)source!).CancelIfOver(), this, Timeout.Infinite, Timeout.Infinite);
        }

        public void Begin()
        {
            lock (_timer)
            {
                (_isRunning, _endsAt) = (true, Environment.TickCount64 + (long)Math.Ceiling(_limit.TotalMilliseconds));
                if (!_isSet)
                    _isSet = _timer.Change(_limit, Timeout.InfiniteTimeSpan);
            }
        }

        public void End()
        {
            lock (_timer)
                _isRunning = false;
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _timer.Dispose();
            base.Dispose(disposing);
        }

        private void CancelIfOver()
        {
            lock (_timer)
            {
                _isSet = false;
                if (!_isRunning)
                    return;
                var left = _endsAt - Environment.TickCount64;
                if (left > 0)
                    _isSet = _timer.Change(left, Timeout.Infinite);
                else
                    _ = CancelAsync(); // Under the lock, or it could be the next handler's. Callbacks run on the pool.
            }
        }
    }
}
