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
        if (!_spares.TryTake(out var source))
            return timeLimit == Timeout.InfiniteTimeSpan ? new() : new(timeLimit, time);
        if (timeLimit != Timeout.InfiniteTimeSpan)
            source.CancelAfter(timeLimit);
        return source;
    }

    /// <summary>Takes a source back that nobody will cancel any more but its own time.</summary>
    public void Return(CancellationTokenSource source)
    {
        if (_canReset && source.TryReset())
            _spares.Add(source);
        else
            source.Dispose();
    }
}
