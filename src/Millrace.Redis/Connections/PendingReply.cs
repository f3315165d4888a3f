using System.Threading.Tasks.Sources;

namespace Millrace.Redis.Connections;

/// <summary>
/// A command, or several sent together, under way, and what their caller awaits. Pooled by its connection: after the caller has taken the result
/// it serves another command, unless the caller gave up waiting, in which case the connection still holds it in line.
/// </summary>
internal sealed class PendingReply : IValueTaskSource<RespReply>
{
    private readonly RedisConnection _connection;

    private ManualResetValueTaskSourceCore<RespReply> _source;
    private RespReply _reply;
    private RespReply[]? _replies;  // Of several commands; the caller's.
    private int _received;          // How many of those have come.
    private CancellationTokenRegistration _cancellation;
    private int _isCompleted;
    private bool _isAbandoned;      // The caller gave up waiting; the connection still holds this object in line.

    public PendingReply(RedisConnection connection) => _connection = connection;

    /// <summary>How many commands it stands for, and so how many replies are to come.</summary>
    public int CommandCount { get; private set; }

    /// <summary>The command's name, or that of the first, for messages.</summary>
    public string CommandName { get; private set; } = "";

    /// <summary>How long the reply may take.</summary>
    public TimeSpan Timeout { get; private set; }

    /// <summary>When it has taken too long, as a timestamp of the time provider. Set when the command is handed to the socket.</summary>
    public long Deadline { get; set; }

    /// <summary>Bytes of the commands, which count for the connection's limit.</summary>
    public long ByteCount { get; private set; }

    /// <summary>Position among all that was sent on the connection; tells whether it had been handed to the socket.</summary>
    public long Sequence { get; private set; }

    public ValueTask<RespReply> Task => new(this, _source.Version);

    public void Start(RespCommand command, TimeSpan timeout, long sequence)
    {
        (CommandName, CommandCount, ByteCount) = (command.Name, 1, command.ByteCount);
        Start(timeout, sequence);
    }

    /// <param name="commands">The commands, sent together.</param>
    /// <param name="byteCount">The bytes of all.</param>
    /// <param name="replies">Gets as many replies; complete when the result is there.</param>
    /// <param name="timeout">How long they may take together.</param>
    /// <param name="sequence">See <see cref="Sequence"/>.</param>
    public void Start(IReadOnlyList<RespCommand> commands, long byteCount, RespReply[] replies, TimeSpan timeout, long sequence)
    {
        (CommandName, CommandCount, ByteCount) = (commands[0].Name, commands.Count, byteCount);
        (_replies, _received) = (replies, 0);
        Start(timeout, sequence);
    }

    private void Start(TimeSpan timeout, long sequence)
    {
        Timeout = timeout;
        Deadline = long.MaxValue;
        Sequence = sequence;
        _source.RunContinuationsAsynchronously = true;
    }

    /// <summary>Lets a token end the waiting. Called once, before the result is awaited.</summary>
    public void CancelWith(CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
            _cancellation = cancellationToken.UnsafeRegister(static (state, token) => ((PendingReply)state!).Cancel(token), this);
    }

    /// <summary>Whether so many more replies are all that is missing.</summary>
    public bool EndsWith(int replies) => _received + replies == CommandCount;

    /// <summary>Takes the next replies; the caller is not told yet.</summary>
    /// <param name="frames">One frame a reply.</param>
    /// <param name="count">How many replies.</param>
    /// <param name="elementCount">Elements of all frames or more.</param>
    public void Receive(ReadOnlySpan<byte> frames, int count, int elementCount)
    {
        if (_replies is null)
            _reply = RespReply.Copy(frames, elementCount);
        else
            RespReply.CopyMany(frames, elementCount, _replies.AsSpan(_received, count));
        _received += count;
    }

    /// <summary>
    /// Gives the reply to the caller, who goes on on the thread pool: its code must not hold up the loop that reads everybody's replies.
    /// </summary>
    public void Complete()
    {
        if (TryComplete())
            _source.SetResult(_reply);
    }

    /// <summary>Gives the reply to the caller, who goes on before this returns. Only for a thread that the read loop has left.</summary>
    public void CompleteHere()
    {
        if (!TryComplete())
            return;
        _source.RunContinuationsAsynchronously = false;
        _source.SetResult(_reply);
    }

    /// <summary>Takes the failure of the connection, which has taken it out of the line.</summary>
    public void Fail(Exception exception)
    {
        if (TryComplete())
            _source.SetException(exception);
    }

    private void Cancel(CancellationToken token)
    {
        if (!TryComplete())
            return;
        _isAbandoned = true;
        _source.SetException(new OperationCanceledException(token));
    }

    private bool TryComplete() => Interlocked.Exchange(ref _isCompleted, 1) == 0;

    RespReply IValueTaskSource<RespReply>.GetResult(short token)
    {
        // Waits for a callback that runs right now: after this nobody but the caller, or the line it was left in, holds this object.
        _cancellation.Dispose();
        try
        {
            return _source.GetResult(token);
        }
        finally
        {
            if (!_isAbandoned)
            {
                _source.Reset();
                (_reply, _replies, _received) = (default, null, 0);
                _cancellation = default;
                _isCompleted = 0;
                _connection.Recycle(this);
            }
        }
    }

    ValueTaskSourceStatus IValueTaskSource<RespReply>.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource<RespReply>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);
}
