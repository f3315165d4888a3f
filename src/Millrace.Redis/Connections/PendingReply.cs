using System.Threading.Tasks.Sources;

namespace Millrace.Redis.Connections;

/// <summary>
/// A command under way, and what its caller awaits. Pooled by its connection: after the caller has taken the result it serves another
/// command, unless the caller gave up waiting, in which case the connection still holds it in line.
/// </summary>
internal sealed class PendingReply : IValueTaskSource<RespReply>
{
    private readonly RedisConnection _connection;

    private ManualResetValueTaskSourceCore<RespReply> _source;
    private RespReply _reply;
    private CancellationTokenRegistration _cancellation;
    private int _isCompleted;
    private bool _isAbandoned;      // The caller gave up waiting; the connection still holds this object in line.

    public PendingReply(RedisConnection connection) => _connection = connection;

    /// <summary>The command's name, for messages.</summary>
    public string CommandName { get; private set; } = "";

    /// <summary>How long the reply may take.</summary>
    public TimeSpan Timeout { get; private set; }

    /// <summary>When it has taken too long, as a timestamp of the time provider. Set when the command is handed to the socket.</summary>
    public long Deadline { get; set; }

    /// <summary>Bytes of the command, which count for the connection's limit.</summary>
    public int ByteCount { get; private set; }

    /// <summary>Position among all commands of the connection; tells whether it had been handed to the socket.</summary>
    public long Sequence { get; private set; }

    public ValueTask<RespReply> Task => new(this, _source.Version);

    public void Start(RespCommand command, TimeSpan timeout, long sequence)
    {
        CommandName = command.Name;
        ByteCount = command.ByteCount;
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

    /// <summary>Takes the reply; the caller is not told yet. The connection has taken this out of the line.</summary>
    public void Receive(RespReply reply) => _reply = reply;

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
                _reply = default;
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
