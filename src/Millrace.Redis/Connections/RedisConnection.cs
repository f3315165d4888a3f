using System.Buffers;
using Millrace.Resp;
using Millrace.Streams;

namespace Millrace.Redis.Connections;

/// <summary>
/// One pipelined connection: many callers, one socket, replies in the order of the commands. It breaks once and for all; reconnecting
/// is the business of whoever holds it.
/// </summary>
/// <remarks>
/// <para>Writing: a caller encodes its command into the filling buffer and, if nobody is writing, writes itself, on its own thread. What
/// others add meanwhile goes out with the next write, so under load many commands share one.</para>
/// <para>Reading: one loop cuts the bytes into frames and completes the oldest command in line; its caller goes on on
/// the thread pool.</para>
/// <para>Time: a command has until its timeout after it was handed to the socket, and only the head of the line is watched. When its
/// time is over the whole connection is dropped, since a reply that comes late would be taken for the reply of another command.</para>
/// </remarks>
internal sealed partial class RedisConnection : IAsyncDisposable
{
    private readonly Stream _stream;
    private readonly RedisOptions _options;
    private readonly TimeProvider _time;
    private readonly FlowGate _gate;
    private readonly ITimer _timer;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Guards the fields below. Held for copying into a buffer and bookkeeping, never across a wait or a call to a caller's code.
    private readonly Lock _lock = new();
    private readonly Queue<PendingReply> _inLine = new();      // Commands without all their replies, oldest first.
    private readonly List<PendingReply> _unsent = [];          // Those of them that are not handed to the socket yet.
    private readonly Stack<PendingReply> _spares = new();
    private ArrayBufferWriter<byte> _filling = new(InitialBufferBytes);
    private ArrayBufferWriter<byte> _writing = new(InitialBufferBytes);
    private bool _isWriting;                                   // Somebody is writing and will take what is in _filling next.
    private long _enqueued;                                    // Commands ever put in line.
    private long _handedOver;                                  // Commands ever handed to the socket.
    private long _timerDue = long.MaxValue;                    // Timestamp for which the timer is set.
    private Exception? _retirement;                            // Why it takes no more commands, though it may owe replies.
    private Exception? _failure;                               // Why the connection is broken.

    private Task _reading = Task.CompletedTask;

    private RedisConnection(Stream stream, RedisOptions options, TimeProvider time)
    {
        _stream = stream;
        _options = options;
        _time = time;
        _gate = new(options.MaxPipelinedCommands, options.MaxPipelinedBytes);
        _scanner = new(new RespLimits { MaxFrameBytes = options.MaxReplyBytes, MaxBulkBytes = options.MaxReplyBytes });
        _timer = time.CreateTimer(
            static state => ((RedisConnection)state!).CheckDeadline(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Takes an open stream over and starts to read from it.</summary>
    public static RedisConnection Start(Stream stream, RedisOptions options, TimeProvider time)
    {
        var connection = new RedisConnection(stream, options, time);
        connection._reading = connection.RunReadLoopAsync();
        return connection;
    }

    /// <summary>The server's number for this connection, for CLIENT UNBLOCK. Zero when the server does not tell.</summary>
    public long ClientId { get; set; }

    /// <summary>Whether our own server is at the other end, which has commands in place of our scripts. Set by the handshake.</summary>
    public bool IsMillrace { get; set; }

    /// <summary>Receives what the server sends unasked, on the read loop: it must be quick and must not throw.</summary>
    public Action<RespReply>? PushReceived { get; set; }

    /// <summary>Whether it takes commands: neither broken nor retired.</summary>
    public bool IsOpen => Volatile.Read(ref _failure) is null && Volatile.Read(ref _retirement) is null;

    /// <summary>Completes, without an error, when the connection is broken or closed.</summary>
    public Task Closed => _closed.Task;

    /// <summary>Why the connection broke.</summary>
    public Exception? Failure => Volatile.Read(ref _failure);

    /// <summary>Sends a command and waits for its reply, an error reply included. Cancellation ends the waiting, not the command.</summary>
    /// <exception cref="ConnectionLostException">The connection broke before the command was sent.</exception>
    /// <exception cref="StreamException">The connection broke, or time ran out, after that: OutcomeUnknown.</exception>
    public ValueTask<RespReply> ExecuteAsync(RespCommand command, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var entering = _gate.EnterAsync(1, command.ByteCount, cancellationToken);
        return entering.IsCompletedSuccessfully ? SendAsync(command, timeout, cancellationToken) : ExecuteSlowAsync(entering);

        async ValueTask<RespReply> ExecuteSlowAsync(ValueTask entering)
        {
            await entering.ConfigureAwait(false);
            return await SendAsync(command, timeout, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Sends commands together and waits for all replies, error replies included.</summary>
    /// <exception cref="ConnectionLostException">The connection broke before any command was sent.</exception>
    /// <exception cref="StreamException">The connection broke, or time ran out, after that: OutcomeUnknown.</exception>
    public async ValueTask<RespReply[]> ExecuteManyAsync(
        IReadOnlyList<RespCommand> commands, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (commands.Count == 0)
            return [];
        var bytes = 0L;
        foreach (var command in commands)
            bytes += command.ByteCount;
        await _gate.EnterAsync(commands.Count, bytes, cancellationToken).ConfigureAwait(false);

        var replies = new RespReply[commands.Count];
        var pending = SendMany(commands, bytes, replies, timeout);
        pending.CancelWith(cancellationToken);
        await pending.Task.ConfigureAwait(false);
        return replies;
    }

    /// <summary>Sends a command whose answer comes through <see cref="PushReceived"/>.</summary>
    /// <returns>Whether the connection still stood.</returns>
    public bool TrySend(RespCommand command)
    {
        lock (_lock)
        {
            if (_failure is not null)
                return false;
            command.WriteTo(_filling, IsMillrace);
            if (_isWriting)
                return true;
            _isWriting = true;
        }

        _ = WriteQueuedAsync();
        return true;
    }

    /// <summary>Breaks the connection: whoever waits for a reply is told that the outcome is unknown. Only the first
    /// reason counts.</summary>
    public void Break(Exception reason)
    {
        PendingReply[] lost;
        long handedOver;
        lock (_lock)
        {
            if (_failure is not null)
                return;
            _failure = reason;
            lost = [.. _inLine];
            handedOver = _handedOver;
            _inLine.Clear();
            _unsent.Clear();
            _spares.Clear();
        }

        _timer.Dispose();
        _stream.Dispose();
        _gate.Close(NothingSent());
        foreach (var pending in lost)
            pending.Fail(pending.Sequence > handedOver ? NothingSent() : OutcomeUnknown(pending));
        _closed.TrySetResult();
    }

    /// <summary>Takes no more commands, and breaks the connection when those in line are answered. Whoever waits for a place in line is told that
    /// nothing was sent.</summary>
    public void Retire(Exception reason)
    {
        bool isIdle;
        lock (_lock)
        {
            _retirement ??= reason;
            isIdle = _inLine.Count == 0;
        }

        if (isIdle)
            Break(reason);
        else
            _gate.Close(NothingSent());
    }

    public async ValueTask DisposeAsync()
    {
        Break(new ObjectDisposedException(nameof(RedisClient)));
        await _reading.ConfigureAwait(false);
    }

    /// <summary>Takes an object back that no command needs any more.</summary>
    public void Recycle(PendingReply pending)
    {
        lock (_lock)
        {
            if (_failure is null)
                _spares.Push(pending);
        }
    }

    private void CheckDeadline()
    {
        PendingReply? expired = null;
        lock (_lock)
        {
            _timerDue = long.MaxValue;
            if (_failure is not null || !_inLine.TryPeek(out var head))
                return;
            if (head.Deadline <= _time.GetTimestamp())
                expired = head;
            else
                SetTimerNeedsLock(head.Deadline);
        }

        if (expired is not null)
            Break(new TimeoutException($"No reply to {expired.CommandName} within {expired.Timeout.TotalSeconds:0.###} s."));
    }

    private void SetTimerNeedsLock(long deadline)
    {
        if (deadline >= _timerDue)
            return;
        _timerDue = deadline;

        // The deadline may have passed since somebody looked: this thread may have waited for a processor. A millisecond more: timers count whole
        // ones, and one that fires early would only have to be set again.
        var left = _time.GetElapsedTime(_time.GetTimestamp(), deadline);
        _timer.Change((left > TimeSpan.Zero ? left : TimeSpan.Zero) + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
    }

    private void ThrowIfBrokenNeedsLock()
    {
        if (!IsOpen)
            throw NothingSent();
    }

    private ConnectionLostException NothingSent() => new($"The connection to {_options} takes no more commands.", _failure ?? _retirement);

    private StreamException OutcomeUnknown(PendingReply pending) => new(
        StreamErrorCode.OutcomeUnknown,
        $"The connection to {_options} broke after {pending.CommandName} was sent; it may have been applied or not. {_failure!.Message}",
        _failure);
}
