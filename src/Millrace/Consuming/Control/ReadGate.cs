namespace Millrace.Consuming;

/// <summary>
/// Whether a group may read, and begin with messages, in this process. Closed while anybody wants it closed; what is held then waits here
/// with its leases renewed.
/// </summary>
internal sealed class ReadGate(TimeProvider time)
{
    private readonly Lock _lock = new();

    // Why it is closed, in the order it came; the first is the one that is told.
    private readonly List<Closure> _closures = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _isOpen = true;

    // One for each time the gate is open, so that a read needs none of its own.
    private CancellationTokenSource _closing = new();
    private bool _hasEnded;

    public bool IsOpen => _isOpen;

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

    public bool IsClosedFor(WorkerState state)
    {
        lock (_lock)
            return _closures.Exists(closure => closure.State == state);
    }

    /// <summary>Whether it is open but for this reason.</summary>
    public bool IsOpenBesides(WorkerState state)
    {
        lock (_lock)
            return _closures.TrueForAll(closure => closure.State == state);
    }

    public async Task WhenOpenAsync(CancellationToken cancellationToken)
    {
        while (!_isOpen)
            await WhenChangedAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Ends when the gate opens, or closes for one more reason; at once while it is open.</summary>
    public Task WhenChangedAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
            return _isOpen ? Task.CompletedTask : _changed.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Ends when the gate opens, or closes for one more reason, the next time.</summary>
    public Task NextChange
    {
        get
        {
            lock (_lock)
                return _changed.Task;
        }
    }

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
            _isOpen = false;
            closing = _closing;
            TellNeedsLock();
        }

        // What ends with the reads must not run here, perhaps under the caller's lock.
        _ = closing.CancelAsync();
        return true;
    }

    /// <summary>Says something else of a reason for which it is closed.</summary>
    public void Explain(WorkerState state, string detail)
    {
        lock (_lock)
        {
            var index = _closures.FindIndex(closure => closure.State == state);
            if (index >= 0)
                _closures[index] = _closures[index] with { Detail = detail };
        }
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
            if (!_hasEnded)
                _closing = new();
            _isOpen = true;
            TellNeedsLock();
            return true;
        }
    }

    /// <summary>Ends every read for good: the worker stops.</summary>
    public void End()
    {
        CancellationTokenSource closing;
        lock (_lock)
        {
            _hasEnded = true;
            closing = _closing;
        }

        closing.Cancel();
    }

    private void TellNeedsLock()
    {
        _changed.SetResult();
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <param name="State">What the worker is at while this holds.</param>
    /// <param name="Since">Since when.</param>
    /// <param name="Detail">More for people, if there is more.</param>
    internal sealed record Closure(WorkerState State, DateTimeOffset Since, string? Detail);
}
