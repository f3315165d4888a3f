namespace Millrace.Redis.Connections;

/// <remarks>
/// A primary that was made a replica keeps its connections and refuses every write on them, while the name may lead to the new primary by now. So after
/// such a refusal the shared connection is made anew; what is in line on the old one is still answered there. Where it finds a server that is no replica,
/// the connections of the readers follow. Where it finds a replica again, the next attempt comes after a pause, as after a failed one; until then
/// reads are answered and writes refused.
/// </remarks>
internal sealed partial class RedisClient
{
    // Shared connections that were replaced and have commands in line.
    private readonly HashSet<RedisConnection> _retired = [];
    private bool _isLooking;                // From a refusal until the shared connection leads to a server that is no replica.
    private int _looks;                     // How often the shared connection was made anew for it, lately.
    private long? _lastLook;
    private TimeSpan _pauseAfterLook;

    private void LookForPrimaryIfRefused(RedisConnection connection, RespReply reply)
    {
        if (!reply.ErrorCode.SequenceEqual("READONLY"u8))
            return;
        RedisConnection shared;
        lock (_lock)
        {
            // What was in line on a connection that is retired already tells nothing of the new one.
            if (!connection.IsOpen || _shared is not { IsOpen: true })
                return;
            var sinceLook = _lastLook is { } last ? _time.GetElapsedTime(last) : TimeSpan.MaxValue;
            if (sinceLook < _pauseAfterLook)
                return;

            // That the server says it is no replica does not end the pauses: it may be a proxy that says so.
            _looks = sinceLook > 2 * _options.MaxReconnectDelay ? 1 : _looks + 1;
            (_isLooking, _lastLook, _pauseAfterLook) = (true, _time.GetTimestamp(), _connector.DelayAfter(_looks));
            shared = _shared;
            _retired.Add(shared);
        }

        shared.Retire(new IOException("The server refuses writes as a replica does; another one may have become the primary."));
    }

    /// <summary>Takes note of a new shared connection.</summary>
    /// <returns>The connections that are to follow it.</returns>
    private RedisConnection[] EndLookNeedsLock(RedisConnection shared)
    {
        if (!_isLooking || shared.IsReplica)
            return [];
        _isLooking = false;
        return [.. _idle, .. _blocked];
    }
}
