namespace Millrace.Redis.Connections;

/// <remarks>
/// A primary that was made a replica keeps its connections and refuses every write on them, while the name may lead to the new primary by now. So after
/// such a refusal the shared connection is made anew; what is in line on the old one is still answered there. The other connections follow, as they do
/// whenever the shared one is made anew: a server that was left answers reads for ever, with what it knew, and one that is a replica still may become
/// the primary with all its connections. While writes are refused, the next attempt comes after a pause, as after a failed one; reads are answered.
/// </remarks>
internal sealed partial class RedisClient
{
    // Shared connections that take no more commands and have some in line.
    private readonly HashSet<RedisConnection> _retired = [];
    private bool _isLooking;                // From a refusal until the shared connection is made anew.
    private int _looks;                     // How often it was retired for one, lately.
    private int _moves;                     // How often connections were told to follow. One begun before may lead to where the shared one was.
    private long? _lastLook;
    private TimeSpan _pauseAfterLook;

    private void LookForPrimaryIfRefused(RedisConnection connection, RespReply reply)
    {
        // The second is what it answers scripts and reads where it must not serve what is stale.
        if (!reply.ErrorCode.SequenceEqual("READONLY"u8) && !reply.ErrorCode.SequenceEqual("MASTERDOWN"u8))
            return;
        lock (_lock)
        {
            // What was in line on a connection that is retired already tells nothing of the new one.
            if (!connection.IsOpen || _shared is not { IsOpen: true })
                return;
            _isLooking = true;
            var sinceLook = _lastLook is { } last ? _time.GetElapsedTime(last) : TimeSpan.MaxValue;
            if (sinceLook < _pauseAfterLook)
                return;

            _looks = sinceLook > 2 * _options.MaxReconnectDelay ? 1 : _looks + 1;
            (_lastLook, _pauseAfterLook) = (_time.GetTimestamp(), _connector.DelayAfter(_looks));
        }

        RetireShared(new IOException("The server refuses writes as a replica does; another one may have become the primary."));
    }

    /// <summary>Lets the next command make the shared connection anew. What is in line on this one is still answered there.</summary>
    private void RetireShared(IOException reason)
    {
        RedisConnection? shared;
        lock (_lock)
        {
            shared = _shared;
            if (shared is not { IsOpen: true })
                return;
            _retired.Add(shared);
        }

        shared.Retire(reason);
    }

    /// <summary>Makes the other connections anew, too, also those that are being made: the name may lead elsewhere by now.</summary>
    private void LetOthersFollow()
    {
        RedisConnection[] readers;
        bool wasLooking;
        lock (_lock)
        {
            _moves++;
            readers = [.. _idle, .. _blocked];
            (wasLooking, _isLooking) = (_isLooking, false);
        }

        var reason = new IOException("It follows the shared connection, which was made anew.");
        foreach (var reader in readers)
            reader.Retire(reason);
        Follower?.Follow(reason);

        // Else it broke with the shared one, as a rule; where it is back already, another break would only lose messages.
        if (wasLooking)
            _subscriptions.Break(reason);
    }

    /// <summary>Makes the shared connection anew, also one that is being made.</summary>
    private void Follow(IOException reason)
    {
        lock (_lock)
            _moves++;
        RetireShared(reason);
    }
}
