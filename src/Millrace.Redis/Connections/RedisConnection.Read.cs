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
            DeliverFrames();
        }
    }

    private void DeliverFrames()
    {
        while (true)
        {
            var isFrame = _scanner.TryFindEnd(_received.AsSpan(_scanned, _receivedEnd - _scanned), out var consumed);
            _scanned += consumed;
            if (!isFrame)
                return;
            var reply = RespReply.Copy(_received.AsSpan(_frameStart, _scanned - _frameStart), _scanner.ElementCount);
            _frameStart = _scanned;
            Deliver(reply);
        }
    }

    private void Deliver(RespReply reply)
    {
        PendingReply? pending = null;
        if (reply.Kind != RespKind.Push)
        {
            lock (_lock)
                _inLine.TryDequeue(out pending);
        }

        if (pending is not null)
        {
            _gate.Exit(1, pending.ByteCount);
            pending.Complete(reply);
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
}
