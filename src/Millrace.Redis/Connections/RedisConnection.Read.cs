using System.Runtime.CompilerServices;
using Millrace.Resp;

namespace Millrace.Redis.Connections;

internal sealed partial class RedisConnection
{
    // Replies to commands that were sent together are copied out together, so many bytes at a time.
    private const int ChunkBytes = 32 * 1024;

    private readonly RespFrameScanner _scanner;
    private byte[] _received = new byte[InitialBufferBytes];
    private PendingReply? _answered;    // Whose replies are being received; first in line.
    private int _chunkStart;    // Where its replies begin that are not copied out, in the buffer.
    private int _chunkFrames;   // How many they are.
    private int _chunkElements; // Elements of them all.
    private int _frameStart;    // Where the frame being received begins.
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
                if (TakeFrame() is not { } answered)
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

    /// <summary>Takes the frame that ends where the scanner is.</summary>
    /// <returns>Whose last reply it is.</returns>
    private PendingReply? TakeFrame()
    {
        var frame = _received.AsSpan(_frameStart, _scanned - _frameStart);
        if (frame[0] is (byte)RespKind.Push or (byte)RespKind.Attribute && RespReply.Copy(frame, _scanner.ElementCount) is { Kind: RespKind.Push } push)
        {
            CutFrameOut();
            PushReceived?.Invoke(push);
            return null;
        }

        _answered ??= FirstInLine();
        if (_answered is not { } pending)
        {
            var reply = RespReply.Copy(frame, _scanner.ElementCount);
            _chunkStart = _frameStart = _scanned;

            // RESP2 has no pushes: on a connection that subscribes, what answers no command is one.
            if (PushReceived is { } receive)
                receive(reply);
            else if (IsOpen)
                throw new RespException("The server sent a reply that answers no command.");
            return null;
        }

        (_chunkFrames, _chunkElements, _frameStart) = (_chunkFrames + 1, _chunkElements + _scanner.ElementCount, _scanned);
        var isLast = pending.EndsWith(_chunkFrames);
        if (!isLast && _scanned - _chunkStart < ChunkBytes)
            return null;
        pending.Receive(_received.AsSpan(_chunkStart, _scanned - _chunkStart), _chunkFrames, _chunkElements);
        (_chunkStart, _chunkFrames, _chunkElements) = (_scanned, 0, 0);
        if (!isLast)
            return null;

        _answered = null;
        _gate.Exit(pending.CommandCount, pending.ByteCount);
        Exception? retirement;
        lock (_lock)
        {
            // Unless the connection has broken meanwhile, and told its caller so.
            if (!_inLine.TryDequeue(out _))
                return null;
            retirement = _inLine.Count == 0 ? _retirement : null;
        }

        if (retirement is not null)
            Break(retirement);
        return pending;
    }

    /// <summary>What answers a command that was not sent yet answers nobody: taken for its reply, it would shift all that follow.</summary>
    private PendingReply? FirstInLine()
    {
        lock (_lock)
            return _inLine.TryPeek(out var head) && head.Sequence <= _handedOver ? head : null;
    }

    /// <summary>Takes a frame out from among replies that are still to be copied.</summary>
    private void CutFrameOut()
    {
        if (_chunkFrames == 0)
        {
            _chunkStart = _frameStart = _scanned;
            return;
        }

        _received.AsSpan(_scanned, _receivedEnd - _scanned).CopyTo(_received.AsSpan(_frameStart));
        _receivedEnd -= _scanned - _frameStart;
        _scanned = _frameStart;
    }

    private void MakeRoom()
    {
        if (_chunkStart == _receivedEnd)
        {
            if (_received.Length > MaxKeptBufferBytes)
                _received = new byte[InitialBufferBytes];
            (_chunkStart, _frameStart, _scanned, _receivedEnd) = (0, 0, 0, 0);
        }

        if (_receivedEnd < _received.Length)
            return;

        // The buffer grows with what has arrived, never with what a header promises; the scanner bounds it.
        var length = _receivedEnd - _chunkStart;
        var target = length > _received.Length / 2 ? new byte[_received.Length * 2] : _received;
        _received.AsSpan(_chunkStart, length).CopyTo(target);
        _received = target;
        _scanned -= _chunkStart;
        _frameStart -= _chunkStart;
        _chunkStart = 0;
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
