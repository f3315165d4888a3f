using Millrace.Streams;

namespace Millrace.Redis.Connections;

internal sealed partial class RedisClient
{
    // CLIENT UNBLOCK may overtake the read, which travels on another connection; it is then sent again after this time.
    private static readonly TimeSpan UnblockRetryDelay = TimeSpan.FromMilliseconds(5);

    // Connections for reads that block: ready for the next one, the last used first, and in use. As many as there ever were at once.
    private readonly Stack<RedisConnection> _idle = new();
    private readonly HashSet<RedisConnection> _blocked = [];

    /// <summary>
    /// Sends a command that blocks on a connection of its own. A cancelled wait is ended on the server with CLIENT
    /// UNBLOCK; when the reply crossed with
    /// that and carries entries, it is returned all the same, so that none are lost.
    /// </summary>
    /// <param name="command">The command, with its finite BLOCK.</param>
    /// <param name="block">How long the command blocks. The reply must come within this and the command timeout.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="OperationCanceledException">Cancelled, and no entries came.</exception>
    /// <exception cref="StreamException">As for <see cref="ExecuteAsync"/>.</exception>
    public async ValueTask<RespReply> ExecuteBlockingAsync(RespCommand command, TimeSpan block, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        for (var attempt = 1; ; attempt++)
        {
            var connection = await RentAsync(cancellationToken).ConfigureAwait(false);
            var isReusable = false;
            try
            {
                var reading = connection.ExecuteAsync(command, block + _options.CommandTimeout, CancellationToken.None).AsTask();
                isReusable = await WaitOrUnblockAsync(connection, reading, cancellationToken).ConfigureAwait(false);
                if (!isReusable)
                    connection.Break(new TimeoutException("The server did not end a cancelled read in time."));

                var reply = await reading.ConfigureAwait(false);
                if (reply.IsError)
                {
                    LookForPrimaryIfRefused(connection, reply);
                    throw RedisErrors.ToException(command.Name, reply);
                }

                if (reply.IsNull)
                    cancellationToken.ThrowIfCancellationRequested();
                return reply;
            }
            catch (ConnectionLostException exception)
            {
                ThrowIfLastAttempt(attempt, exception);
            }
            catch (StreamException exception)
                when (exception.Code == StreamErrorCode.OutcomeUnknown && cancellationToken.IsCancellationRequested)
            {
                // Entries that were delivered meanwhile are pending for this consumer, which reads those first the next time.
                throw new OperationCanceledException("The read was cancelled.", exception, cancellationToken);
            }
            finally
            {
                Return(connection, isReusable);
            }
        }
    }

    /// <summary>Waits for the reply; after a cancellation, for the server to end the read.</summary>
    /// <returns>Whether the connection is clean: the reply has come and no CLIENT UNBLOCK is still on its way to hit a
    /// later read.</returns>
    private async Task<bool> WaitOrUnblockAsync(RedisConnection connection, Task<RespReply> reading, CancellationToken cancellationToken)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (cancellationToken.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), cancelled))
            await Task.WhenAny(reading, cancelled.Task).ConfigureAwait(false);
        if (reading.IsCompleted)
            return connection.IsOpen;
        if (connection.ClientId == 0)
            return false;

        // Zero says that the read has not reached the server yet, or has just been answered. One that is retired may have another server at its end
        // than the shared connection: it is dropped.
        using var timeLimit = new CancellationTokenSource(_options.CommandTimeout, _time);
        try
        {
            while (!reading.IsCompleted && connection.IsOpen)
            {
                var unblock = new RespCommand("CLIENT").Add("UNBLOCK").Add(connection.ClientId);
                var unblocked = await ExecuteAsync(unblock, timeLimit.Token).ConfigureAwait(false);
                var pause = unblocked.Integer == 1 ? Timeout.InfiniteTimeSpan : UnblockRetryDelay;
                await Task.WhenAny(reading, Task.Delay(pause, _time, timeLimit.Token)).ConfigureAwait(false);
                timeLimit.Token.ThrowIfCancellationRequested();
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or StreamException)
        {
            _logger.UnblockFailed(_options.ToString(), exception.Message);
            return false;
        }

        return connection.IsOpen;
    }

    private async ValueTask<RedisConnection> RentAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            // While the server is away, or a primary looked for, many readers wait for one attempt to reach it, that of the shared connection.
            await GetSharedAsync(cancellationToken).ConfigureAwait(false);
            int moves;
            lock (_lock)
            {
                ThrowIfClosed();
                while (_idle.TryPop(out var idle))
                {
                    if (!idle.IsOpen)
                        continue;
                    _blocked.Add(idle);
                    return idle;
                }

                moves = _moves;
            }

            var connection = await ConnectAsync(_options.ConnectAttempts, [], cancellationToken).ConfigureAwait(false);
            lock (_lock)
            {
                if (moves == _moves && !_closing.IsCancellationRequested)
                {
                    _blocked.Add(connection);
                    return connection;
                }
            }

            await connection.DisposeAsync().ConfigureAwait(false);
        }
    }

    private void Return(RedisConnection connection, bool isReusable)
    {
        lock (_lock)
        {
            _blocked.Remove(connection);
            if (isReusable && connection.IsOpen && !_closing.IsCancellationRequested)
            {
                _idle.Push(connection);
                return;
            }
        }

        connection.Break(new ObjectDisposedException(nameof(RedisConnection)));
    }
}
