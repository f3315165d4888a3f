using System.Runtime.CompilerServices;
using Millrace.Resp;

namespace Millrace.Redis.Connections;

internal sealed partial class RedisConnection
{
    private readonly RespFrameScanner _scanner;
    private byte[] _received = new byte[InitialBufferBytes];
    private int _frameStart;    // Where the frame being received begins in the buffer.
    private int _scanned;       // Up to where the scanner has seen the buffer.
    private int _receivedEnd;   // Up to where the buffer is filled.

    private async Task RunReadLoopAsync()
    {
        Exception reason;
        try
        {
            await ReadAsync().ConfigureAwait(false);
            reason = new EndOfStreamException("The server closed the connection.");
        }
        catch (Exception exception)
        {
            reason = exception;
        }

        Break(reason);
    }

    private async Task ReadAsync()
    {
        while (true)
        {
            MakeRoom();
            var count = await _stream.ReadAsync(_received.AsMemory(_receivedEnd)).ConfigureAwait(false);
            if (count == 0)
                return;
            _receivedEnd += count;
            if (DeliverFrames() is { } last)
                await new HandOver(last).ConfigureAwait(false);
        }
    }

    /// <summary>Delivers the replies that are whole.</summary>
    /// <returns>The last of them that answers a command: its caller is still to be told.</returns>
    private PendingReply? DeliverFrames()
    {
        PendingReply? last = null;
        try
        {
            while (true)
            {
                var isFrame = _scanner.TryFindEnd(_received.AsSpan(_scanned, _receivedEnd - _scanned), out var consumed);
                _scanned += consumed;
                if (!isFrame)
                    return last;
                var reply = RespReply.Copy(_received.AsSpan(_frameStart, _scanned - _frameStart), _scanner.ElementCount);
                _frameStart = _scanned;
                if (Deliver(reply) is not { } answered)
                    continue;
                last?.Complete();
                last = answered;
            }
        }
        catch
        {
            // What was whole before the nonsense is still an answer.
            last?.Complete();
            throw;
        }
    }

    private PendingReply? Deliver(RespReply reply)
    {
        PendingReply? pending = null;
        if (reply.Kind != RespKind.Push)
        {
            // What answers a command that was not sent yet answers nobody: taken for its reply, it would shift all that follow.
            lock (_lock)
            {
                if (_inLine.TryPeek(out var head) && head.Sequence <= _handedOver)
                    pending = _inLine.Dequeue();
            }
        }

        if (pending is not null)
        {
            _gate.Exit(1, pending.ByteCount);
            pending.Receive(reply);
        }
        else if (PushReceived is { } receive)
        {
            // RESP2 has no pushes: on a connection that subscribes, what answers no command is one.
            receive(reply);
        }
        else if (reply.Kind != RespKind.Push && IsOpen)
        {
            throw new RespException("The server sent a reply that answers no command.");
        }

        return pending;
    }

    private void MakeRoom()
    {
        if (_frameStart == _receivedEnd)
        {
            if (_received.Length > MaxKeptBufferBytes)
                _received = new byte[InitialBufferBytes];
            (_frameStart, _scanned, _receivedEnd) = (0, 0, 0);
        }

        if (_receivedEnd < _received.Length)
            return;

        // The buffer grows with what has arrived, never with what a header promises; the scanner bounds it.
        var length = _receivedEnd - _frameStart;
        var target = length > _received.Length / 2 ? new byte[_received.Length * 2] : _received;
        _received.AsSpan(_frameStart, length).CopyTo(target);
        _received = target;
        _scanned -= _frameStart;
        _frameStart = 0;
        _receivedEnd = length;
    }

    /// <summary>
    /// Lets the caller of the last reply go on at once, on this thread, and the read loop on another one: waking a thread takes longer than
    /// most commands, and the loop can wait for it better than the caller can. Whatever the caller does on this thread, the loop reads on.
    /// </summary>
    private readonly struct HandOver(PendingReply last) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => false;

        public HandOver ConfigureAwait(bool continueOnCapturedContext) => this;

        public HandOver GetAwaiter() => this;

        public void GetResult()
        {
        }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static loop => loop(), continuation, preferLocal: true);
            last.CompleteHere();
        }
    }
}
