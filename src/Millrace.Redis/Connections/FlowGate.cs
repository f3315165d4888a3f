namespace Millrace.Redis.Connections;

/// <summary>
/// Bounds what is under way on a connection, in commands and in bytes; whoever does not fit waits in line. A batch larger than the whole
/// gate passes when nothing else is under way, so nobody waits for ever.
/// </summary>
internal sealed class FlowGate(int maxCommands, long maxBytes)
{
    private readonly Lock _lock = new();
    private readonly Queue<Waiter> _waiters = new();
    private int _commands;
    private long _bytes;
    private Exception? _closed;

    private sealed class Waiter(int commands, long bytes) : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public int Commands => commands;

        public long Bytes => bytes;
    }

    /// <summary>Waits for room, in the order of the calls. Completes at once, without an allocation, while there is room.</summary>
    public ValueTask EnterAsync(int commands, long bytes, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Waiter waiter;
        lock (_lock)
        {
            if (_closed is not null)
                return ValueTask.FromException(_closed);
            if (_waiters.Count == 0 && TryTakeNeedsLock(commands, bytes))
                return ValueTask.CompletedTask;
            waiter = new(commands, bytes);
            _waiters.Enqueue(waiter);
        }

        return WaitAsync(waiter, cancellationToken);
    }

    /// <summary>Gives room back.</summary>
    public void Exit(int commands, long bytes)
    {
        lock (_lock)
        {
            _commands -= commands;
            _bytes -= bytes;
            AdmitNeedsLock();
        }
    }

    /// <summary>Fails everybody who waits, and whoever comes later.</summary>
    public void Close(Exception reason)
    {
        lock (_lock)
        {
            _closed ??= reason;
            while (_waiters.TryDequeue(out var waiter))
                waiter.TrySetException(reason);
        }
    }

    private async ValueTask WaitAsync(Waiter waiter, CancellationToken cancellationToken)
    {
        using (cancellationToken.UnsafeRegister(static (state, token) => ((Waiter)state!).TrySetCanceled(token), waiter))
            await waiter.Task.ConfigureAwait(false);
    }

    private void AdmitNeedsLock()
    {
        while (_waiters.TryPeek(out var waiter))
        {
            if (!waiter.Task.IsCompleted)
            {
                if (!TryTakeNeedsLock(waiter.Commands, waiter.Bytes))
                    return;

                // Cancelled between the two lines: its room is free again.
                if (!waiter.TrySetResult())
                {
                    _commands -= waiter.Commands;
                    _bytes -= waiter.Bytes;
                }
            }

            _waiters.Dequeue();
        }
    }

    private bool TryTakeNeedsLock(int commands, long bytes)
    {
        if (_commands > 0 && (_commands + commands > maxCommands || _bytes + bytes > maxBytes))
            return false;
        _commands += commands;
        _bytes += bytes;
        return true;
    }
}
