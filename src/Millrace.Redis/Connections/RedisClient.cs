using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Redis.Connections;

/// <summary>
/// The client: one shared pipelined connection for commands, one connection of its own for each read that blocks, and
/// one for subscriptions.
/// Thread-safe.
/// </summary>
internal sealed partial class RedisClient : IAsyncDisposable
{
    private readonly RedisOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly RedisConnector _connector;
    private readonly RedisSubscriptions _subscriptions;
    private readonly LogLimit _breaks;
    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _lock = new();
    private RedisConnection? _shared;
    private Task<RedisConnection>? _connecting;     // The attempts under way, which all callers wait for together.
    private int _failures;                          // Failed attempts since the shared connection last stood. Used by _connecting only.
    private long? _lastAttempt;                     // When the last of them ended, well or not; likewise.

    /// <summary>Makes a client. Connects with the first call.</summary>
    /// <exception cref="ArgumentException">The options contradict themselves or their limits; the message lists
    /// everything wrong.</exception>
    public RedisClient(RedisOptions options, TimeProvider time, ILogger logger)
    {
        options.Validate();
        _options = options = options.Copy();
        _time = time;
        _logger = logger;
        _connector = new(options, time, logger);
        _subscriptions = new(_connector, options, time, logger);
        _breaks = new(time);
    }

    /// <summary>
    /// The first commands of every shared connection, SCRIPT LOAD for one: no other command can be sent before them. Blocked reads and
    /// subscriptions, which run no scripts, do without, and so does our own server, which has commands in their place.
    /// </summary>
    public IReadOnlyList<RespCommand> Prologue { get; init; } = [];

    /// <summary>Another client of the same server, for reads: its shared connection is made anew after this one's was. Default: none.</summary>
    public RedisClient? Follower { get; init; }

    /// <summary>Whether the server last connected to is our own.</summary>
    public bool IsMillrace => Volatile.Read(ref _shared) is { IsMillrace: true };

    /// <summary>Connects now instead of with the first command.</summary>
    /// <exception cref="StreamException">Unavailable, naming the endpoint and the attempts; or the log-in was refused.</exception>
    public async ValueTask ConnectAsync(CancellationToken cancellationToken) =>
        await GetSharedAsync(cancellationToken).ConfigureAwait(false);

    /// <summary>Sends a command on the shared connection and waits for its reply. Cancellation ends the waiting, not the command.</summary>
    /// <exception cref="StreamException">
    /// The server answered with an error; Unavailable: nothing was sent; OutcomeUnknown: no reply in time, or the connection broke.
    /// </exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<RespReply> ExecuteAsync(RespCommand command, CancellationToken cancellationToken)
    {
        var reply = await TryExecuteAsync(command, cancellationToken).ConfigureAwait(false);
        return reply.IsError ? throw RedisErrors.ToException(command.Name, reply) : reply;
    }

    /// <summary>As <see cref="ExecuteAsync"/>, but an error the server answers is a reply like any other: see <see
    /// cref="RespReply.ErrorCode"/>.</summary>
    /// <exception cref="StreamException">Unavailable: nothing was sent; OutcomeUnknown: no reply in time, or the
    /// connection broke.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<RespReply> TryExecuteAsync(RespCommand command, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var connection = await GetSharedAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                var reply = await connection.ExecuteAsync(command, _options.CommandTimeout, cancellationToken).ConfigureAwait(false);
                if (reply.IsError)
                    LookForPrimaryIfRefused(connection, reply);
                return reply;
            }
            catch (ConnectionLostException exception)
            {
                ThrowIfLastAttempt(attempt, exception);
            }
        }
    }

    /// <summary>Sends commands together, in one write where they fit, and waits for all replies. Error replies are
    /// replies like any other.</summary>
    /// <exception cref="StreamException">Unavailable: nothing was sent; OutcomeUnknown: no reply in time, or the
    /// connection broke.</exception>
    public async ValueTask<RespReply[]> ExecuteManyAsync(IReadOnlyList<RespCommand> commands, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var connection = await GetSharedAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                var replies = await connection.ExecuteManyAsync(commands, _options.CommandTimeout, cancellationToken).ConfigureAwait(false);
                foreach (var reply in replies)
                    LookForPrimaryIfRefused(connection, reply);
                return replies;
            }
            catch (ConnectionLostException exception)
            {
                ThrowIfLastAttempt(attempt, exception);
            }
        }
    }

    /// <summary>
    /// Subscribes to a channel. After an interruption the subscription is renewed in the background; what was
    /// published meanwhile is not received.
    /// </summary>
    /// <param name="channel">The channel.</param>
    /// <param name="onMessage">Receives each message, on the read loop: it must be quick and must not throw. It may keep the bytes.</param>
    /// <param name="cancellationToken">Ends the waiting for the server's confirmation.</param>
    /// <returns>Ends the subscription when disposed of.</returns>
    /// <exception cref="StreamException">The server cannot be reached, or refused.</exception>
    public ValueTask<IAsyncDisposable> SubscribeAsync(
        string channel, Action<ReadOnlyMemory<byte>> onMessage, CancellationToken cancellationToken)
    {
        ThrowIfClosed();
        return _subscriptions.SubscribeAsync(channel, onMessage, cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        RedisConnection[] open;
        Task connecting;
        lock (_lock)
        {
            if (_closing.IsCancellationRequested)
                return;
            _closing.Cancel();
            connecting = _connecting ?? Task.CompletedTask;
            open = [.. _idle, .. _blocked, .. _retired];
        }

        await _subscriptions.DisposeAsync().ConfigureAwait(false);
        await connecting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var connection in open)
            await connection.DisposeAsync().ConfigureAwait(false);
        if (_shared is { } shared)
            await shared.DisposeAsync().ConfigureAwait(false);
    }

    private ValueTask<RedisConnection> GetSharedAsync(CancellationToken cancellationToken) =>
        Volatile.Read(ref _shared) is { IsOpen: true } shared ? new(shared) : new(GetSharedSlowAsync(cancellationToken));

    private async Task<RedisConnection> GetSharedSlowAsync(CancellationToken cancellationToken)
    {
        Task<RedisConnection> connecting;
        lock (_lock)
        {
            ThrowIfClosed();
            if (_shared is { IsOpen: true } shared)
                return shared;
            if (_connecting is null or { IsCompleted: true })
                _connecting = ConnectSharedAsync();
            connecting = _connecting;
        }

        return await connecting.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task<RedisConnection> ConnectSharedAsync()
    {
        // Off the lock its caller holds.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        while (true)
        {
            var moves = Volatile.Read(ref _moves);
            var connection = await ConnectPatientlyAsync().ConfigureAwait(false);

            // Before a command is sent on it: who then reads elsewhere must see what it wrote.
            if (_shared is not null)
            {
                LetOthersFollow();
                moves++;
            }

            bool isCurrent;
            lock (_lock)
            {
                isCurrent = moves == _moves && !_closing.IsCancellationRequested;
                if (isCurrent)
                    Volatile.Write(ref _shared, connection);
            }

            if (isCurrent)
            {
                _ = ReportWhenBrokenAsync(connection);
                return connection;
            }

            await connection.DisposeAsync().ConfigureAwait(false);
            ThrowIfClosed();
        }
    }

    // A server that was away for all attempts of one call is probably still away: the next calls share one attempt each, after a pause
    // that goes on growing. A server that drops what it has just accepted is not asked more often either.
    private async Task<RedisConnection> ConnectPatientlyAsync()
    {
        var attempts = _failures == 0 ? _options.ConnectAttempts : 1;
        try
        {
            await PauseAsync().ConfigureAwait(false);
            var connection = await ConnectAsync(attempts, Prologue, CancellationToken.None).ConfigureAwait(false);
            _failures = 0;
            return connection;
        }
        catch (StreamException)
        {
            _failures += attempts;
            throw;
        }
        finally
        {
            _lastAttempt = _time.GetTimestamp();
        }
    }

    private async Task PauseAsync()
    {
        if (_lastAttempt is not { } last)
            return;
        var pause = _connector.DelayAfter(Math.Max(1, _failures)) - _time.GetElapsedTime(last);
        if (pause <= TimeSpan.Zero)
            return;
        await Task.Delay(pause, _time, _closing.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        ThrowIfClosed();
    }

    private async Task ReportWhenBrokenAsync(RedisConnection connection)
    {
        await connection.Closed.ConfigureAwait(false);
        lock (_lock)
            _retired.Remove(connection);
        if (!_closing.IsCancellationRequested && _breaks.Allows())
            _logger.ConnectionBroke(_options.ToString(), connection.Failure!.Message);
    }

    private async Task<RedisConnection> ConnectAsync(
        int attempts, IReadOnlyList<RespCommand> prologue, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token, cancellationToken);
        try
        {
            var connection = await _connector.ConnectAsync(attempts, prologue, either.Token).ConfigureAwait(false);
            _logger.Connected(_options.ToString());
            return connection;
        }
        catch (OperationCanceledException) when (_closing.IsCancellationRequested)
        {
            throw Closed();
        }
    }

    // A server that takes connections and closes them again must not keep a call busy for ever.
    private void ThrowIfLastAttempt(int attempt, ConnectionLostException exception)
    {
        ThrowIfClosed();
        if (attempt < _options.ConnectAttempts)
            return;
        throw new StreamException(
            StreamErrorCode.Unavailable, $"Redis at {_options} closed {attempt} connections. Nothing was sent.", exception);
    }

    private void ThrowIfClosed()
    {
        if (_closing.IsCancellationRequested)
            throw Closed();
    }

    private StreamException Closed() => new(StreamErrorCode.Closed, $"The client of Redis at {_options} was closed.");
}
