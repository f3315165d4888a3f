namespace Millrace.Consuming;

/// <summary>
/// Whether a group may read, and begin with messages, in this process. Closed while anybody wants it closed; what is held then waits here
/// with its leases renewed.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="stop">Cancelled when the worker stops reading for good.</param>
internal sealed class ReadGate(TimeProvider time, CancellationToken stop)
{
    private readonly Lock _lock = new();

    // Why it is closed: the first is the one that is told.
    private readonly List<Closure> _closures = [];
    private TaskCompletionSource _opened = Completed();

    // One for each time the gate is open, so that a read needs none of its own.
    private CancellationTokenSource _closing = CancellationTokenSource.CreateLinkedTokenSource(stop);

    public bool IsOpen => _opened.Task.IsCompleted;

    /// <summary>The token of reads: cancelled when the gate closes or the worker stops. Another one after it has opened again.</summary>
    public CancellationToken Reading
    {
        get
        {
            lock (_lock)
                return _closing.Token;
        }
    }

    /// <summary>Why it is closed, or <see langword="null"/>.</summary>
    public Closure? Current
    {
        get
        {
            lock (_lock)
                return _closures is [var first, ..] ? first : null;
        }
    }

    public Task WhenOpenAsync(CancellationToken cancellationToken) => _opened.Task.WaitAsync(cancellationToken);

    /// <summary>Closes the gate for a reason, once for each state.</summary>
    /// <returns>Whether it was not closed for this already.</returns>
    public bool Close(WorkerState state, string? detail = null)
    {
        CancellationTokenSource closing;
        lock (_lock)
        {
            if (_closures.Exists(closure => closure.State == state))
                return false;
            _closures.Add(new(state, time.GetUtcNow(), detail));
            if (!IsOpen)
                return true;
            _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
            closing = _closing;
        }

        closing.Cancel();
        return true;
    }

    /// <summary>Takes a reason away.</summary>
    /// <returns>Whether it was there.</returns>
    public bool Open(WorkerState state)
    {
        lock (_lock)
        {
            if (_closures.RemoveAll(closure => closure.State == state) == 0)
                return false;
            if (_closures.Count > 0)
                return true;
            _closing.Dispose();
            _closing = CancellationTokenSource.CreateLinkedTokenSource(stop);
            _opened.SetResult();
            return true;
        }
    }

    private static TaskCompletionSource Completed()
    {
        var completed = new TaskCompletionSource();
        completed.SetResult();
        return completed;
    }

    /// <param name="State">What the worker is at while this holds.</param>
    /// <param name="Since">Since when.</param>
    /// <param name="Detail">More for people, if there is more.</param>
    internal sealed record Closure(WorkerState State, DateTimeOffset Since, string? Detail);
}
