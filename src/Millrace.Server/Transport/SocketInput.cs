using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace Millrace.Server.Transport;

/// <summary>
/// Reads from a socket straight into one buffer, which the reader sees as a single segment: a request is never in pieces, and nothing is copied.
/// </summary>
/// <remarks>
/// <code>
/// _buffer  ┌──────────┬────────────────────────┬──────────────┐   a receive that is under way writes behind _end;
///          │ consumed │ unread                 │ free         │   the buffer moves or grows only when none is
///          └──────────┴────────────────────────┴──────────────┘
///                     _start                    _end
/// </code>
/// One reader. <see cref="CancelPendingRead"/> may come from any thread and leaves the receive under way.
/// </remarks>
internal sealed class SocketInput : PipeReader, IValueTaskSource<ReadResult>
{
    /// <summary>Room for a pipeline of some hundred commands.</summary>
    private const int FirstBufferBytes = 16 * 1024;

    /// <summary>The buffer of a client whose pipelines fill it doubles up to here. What a larger request needed is given back.</summary>
    private const int KeptBufferBytes = 64 * 1024;

    private readonly Lock _lock = new();
    private readonly Socket _socket;
    private readonly SocketAsyncEventArgs _receive = new(true);
    private ManualResetValueTaskSourceCore<ReadResult> _read;
    private byte[] _buffer = new byte[FirstBufferBytes];
    private int _start;
    private int _end;

    /// <summary>Up to here the reader has looked: it wants to be told of more only.</summary>
    private int _examined;

    private bool _isReceiving;
    private bool _isReaderWaiting;
    private bool _isCanceled;

    /// <summary>The other side has closed, or the socket failed: nothing more comes.</summary>
    private bool _isCompleted;

    public SocketInput(Socket socket)
    {
        _socket = socket;
        _receive.Completed += (_, _) => OnReceived();
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.CanBeCanceled)
            return ReadCancelableAsync(cancellationToken);
        lock (_lock)
        {
            if (_isCanceled || _examined < _end || _isCompleted || (!_isReceiving && ReceiveNeedsLock()))
                return new(TakeNeedsLock());
            _isReaderWaiting = true;
            _read.Reset();
            return new(this, _read.Version);
        }
    }

    public override bool TryRead(out ReadResult result)
    {
        lock (_lock)
        {
            var isReady = _isCanceled || _examined < _end || _isCompleted;
            result = isReady ? TakeNeedsLock() : default;
            return isReady;
        }
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        lock (_lock)
        {
            _start = consumed.GetInteger();
            _examined = Math.Max(examined.GetInteger(), _start);
        }
    }

    public override void CancelPendingRead()
    {
        ReadResult result;
        lock (_lock)
        {
            _isCanceled = true;
            if (!_isReaderWaiting)
                return;
            _isReaderWaiting = false;
            result = TakeNeedsLock();
        }

        _read.SetResult(result);
    }

    /// <summary>The connection's owner closes the socket.</summary>
    public override void Complete(Exception? exception = null)
    {
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _read.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _read.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _read.OnCompleted(continuation, state, token, flags);

    /// <summary>How TLS reads: it is woken by canceling the read under it. Nothing is lost, as nothing was handed out.</summary>
    private async ValueTask<ReadResult> ReadCancelableAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ReadResult result;
        await using (cancellationToken.UnsafeRegister(static input => ((SocketInput)input!).CancelPendingRead(), this))
            result = await ReadAsync(CancellationToken.None);
        if (result.IsCanceled)
            cancellationToken.ThrowIfCancellationRequested();
        return result;
    }

    private ReadResult TakeNeedsLock()
    {
        var isCanceled = _isCanceled;
        _isCanceled = false;

        // Positions are indexes into the buffer, which stays the same until everything is advanced over.
        var sequence = new ReadOnlySequence<byte>(_buffer).Slice(_start, _end - _start);
        return new(sequence, isCanceled, _isCompleted);
    }

    /// <summary>Starts to receive; true when bytes, or the end, are there at once.</summary>
    private bool ReceiveNeedsLock()
    {
        MakeRoomNeedsLock();
        try
        {
            _receive.SetBuffer(_buffer, _end, _buffer.Length - _end);
            if (_socket.ReceiveAsync(_receive))
            {
                _isReceiving = true;
                return false;
            }
        }
        catch (ObjectDisposedException)
        {
            _isCompleted = true;
            return true;
        }

        TakeReceivedNeedsLock();
        return true;
    }

    private void OnReceived()
    {
        ReadResult result;
        lock (_lock)
        {
            _isReceiving = false;
            TakeReceivedNeedsLock();
            if (!_isReaderWaiting)
                return;
            _isReaderWaiting = false;
            result = TakeNeedsLock();
        }

        _read.SetResult(result);
    }

    private void TakeReceivedNeedsLock()
    {
        if (_receive.SocketError != SocketError.Success || _receive.BytesTransferred == 0)
            _isCompleted = true;
        else
            _end += _receive.BytesTransferred;
    }

    private void MakeRoomNeedsLock()
    {
        var unread = _buffer.AsSpan(_start, _end - _start);
        var size = _buffer.Length;
        if (unread.IsEmpty && size > KeptBufferBytes)
            size = FirstBufferBytes;
        else if (unread.Length > size / 2 || (_end == size && size < KeptBufferBytes))
            size = checked((int)Math.Min(2L * size, Array.MaxLength));
        else if (!unread.IsEmpty && size - _end >= size / 4)
            return;

        var into = size == _buffer.Length ? _buffer : new byte[size];
        unread.CopyTo(into);
        (_examined, _end, _start) = (_examined - _start, unread.Length, 0);
        _buffer = into;
    }
}
