using System.Buffers;

namespace Millrace.Redis.Connections;

internal sealed partial class RedisConnection
{
    private const int InitialBufferBytes = 16 * 1024;

    // A buffer that a burst has made larger is given up after the burst.
    private const int MaxKeptBufferBytes = 4 * 1024 * 1024;

    private ValueTask<RespReply> SendAsync(RespCommand command, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var pending = Send(timeout, (Connection: this, Command: command), static (pending, send, timeout, sequence) =>
        {
            pending.Start(send.Command, timeout, sequence);
            send.Command.WriteTo(send.Connection._filling, send.Connection.IsMillrace);
        });
        pending.CancelWith(cancellationToken);
        return pending.Task;
    }

    private PendingReply SendMany(IReadOnlyList<RespCommand> commands, long byteCount, RespReply[] replies, TimeSpan timeout) =>
        Send(timeout, (Connection: this, Commands: commands, ByteCount: byteCount, Replies: replies), static (pending, send, timeout, sequence) =>
        {
            pending.Start(send.Commands, send.ByteCount, send.Replies, timeout, sequence);
            foreach (var command in send.Commands)
                command.WriteTo(send.Connection._filling, send.Connection.IsMillrace);
        });

    private PendingReply Send<TState>(TimeSpan timeout, TState state, Action<PendingReply, TState, TimeSpan, long> start)
    {
        PendingReply pending;
        bool mustWrite;
        try
        {
            lock (_lock)
            {
                ThrowIfBrokenNeedsLock();
                pending = EnqueueNeedsLock();
                start(pending, state, timeout, ++_enqueued);
                mustWrite = !_isWriting;
                _isWriting = true;
            }
        }
        catch (Exception exception) when (exception is not ConnectionLostException)
        {
            // Out of memory: part of a command may be in the buffer, and something in line that nobody sent.
            Break(exception);
            throw;
        }

        if (mustWrite)
            _ = WriteQueuedAsync();
        return pending;
    }

    private PendingReply EnqueueNeedsLock()
    {
        if (!_spares.TryPop(out var pending))
            pending = new(this);
        _inLine.Enqueue(pending);
        _unsent.Add(pending);
        return pending;
    }

    // Runs on the thread of the caller that found nobody writing, until the socket takes no more at once.
    private async Task WriteQueuedAsync()
    {
        try
        {
            while (TakeQueued())
                await _stream.WriteAsync(_writing.WrittenMemory).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            Break(exception);
        }
    }

    private bool TakeQueued()
    {
        lock (_lock)
        {
            if (_filling.WrittenCount == 0 || _failure is not null)
            {
                _isWriting = false;
                return false;
            }

            (_filling, _writing) = (_writing, _filling);
            if (_filling.Capacity > MaxKeptBufferBytes)
                _filling = new(InitialBufferBytes);
            else
                _filling.ResetWrittenCount();
            _handedOver = _enqueued;
            StartClocksNeedsLock();
            return true;
        }
    }

    // A command that waits for the write before it is not late yet; that write has commands of its own in line, whose clocks bound it.
    private void StartClocksNeedsLock()
    {
        var now = _time.GetTimestamp();
        foreach (var pending in _unsent)
        {
            pending.Deadline = now + (long)(pending.Timeout.TotalSeconds * _time.TimestampFrequency);
            SetTimerNeedsLock(pending.Deadline);
        }

        _unsent.Clear();
    }
}
