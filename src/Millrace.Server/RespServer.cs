using System.Net;
using System.Numerics;
using System.Security.Cryptography;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Embedded;
using Millrace.Server.Commands;
using Millrace.Server.Commands.Connection;
using Millrace.Server.Commands.PubSub;
using Millrace.Server.Commands.Transactions;
using Millrace.Server.Connections;
using Millrace.Server.Statistics;
using Millrace.Server.Transport;
using Millrace.Server.Users;
using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Server;

/// <summary>
/// Serves an embedded store to Redis clients: RESP2 and RESP3 over TCP or TLS. The store stays usable in process meanwhile; what one door
/// changes wakes readers at the other.
/// </summary>
public sealed partial class RespServer : IAsyncDisposable
{
    /// <summary>Clients that do not read their replies may hold up the end for so long.</summary>
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(5);

    private readonly WebApplication _host;

    /// <summary>Clients that got replies in the turn under way, or null when no turn of ours is.</summary>
    private readonly List<ClientConnection> _toFlush = [];

    /// <summary>Transactions with watched keys.</summary>
    private readonly HashSet<Transaction> _watchers = [];

    private readonly TaskCompletionSource _shutdown = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly ILogger _logger;

    private byte[] _scratch = [];
    private bool _isInTurn;

    /// <summary>Makes the server; <see cref="StartAsync"/> starts it.</summary>
    /// <param name="store">The store to serve. Opened by <see cref="StartAsync"/>, closed by its owner.</param>
    /// <param name="options">Where it listens and what it allows.</param>
    /// <param name="loggerFactory">Told about connections that break and commands that fail as nobody foresaw. Default: nobody.</param>
    /// <exception cref="ArgumentException">The address is not loopback and there is neither a password nor a file of users.</exception>
    /// <exception cref="InvalidDataException">A line of the file of users is wrong, or lets everybody in at an address that is not loopback.</exception>
    /// <exception cref="IOException">The file of users cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file of users may not be read.</exception>
    public RespServer(EmbeddedStreamStore store, RespServerOptions options, ILoggerFactory? loggerFactory = null)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(options);
        if (!IPAddress.IsLoopback(options.Address) && options.Password is null && options.UsersFile is null)
            throw new ArgumentException(
                $"The address {options.Address} can be reached from elsewhere: set a password or a file of users, or listen on loopback.", nameof(options));
        Store = store;
        Options = options.Copy();
        _logger = loggerFactory?.CreateLogger<RespServer>() ?? NullLogger<RespServer>.Instance;
        Pause = new(this);
        StartedMs = NowMs;
        Access = new(Options, AllCommands.Table);
        Dispatcher = new(this, AllCommands.Table);

        var builder = WebApplication.CreateEmptyBuilder(new());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration();
        if (loggerFactory is not null)
            builder.Services.AddSingleton(loggerFactory);
        var maxConnections = Descriptors.CountForConnections();
        builder.Services.AddSingleton<IConnectionListenerFactory>(new SocketListenerFactory(maxConnections, store.Time, _logger));
        LimitClients(maxConnections - RefusedAtATime);
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.Configure<HostOptions>(static host => host.ShutdownTimeout = StopLimit);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(options.Address, options.Port, listen =>
        {
            if (options.Certificate is { } certificate)
                listen.UseHttps(certificate);
            listen.Run(ServeAsync);
        }));
        _host = builder.Build();
        _idleTimer = store.Time.CreateTimer(
            static server => ((RespServer)server!).EndIdleClients(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Where it listens, with the port that was picked. Only after <see cref="StartAsync"/>.</summary>
    public IPEndPoint Endpoint { get; private set; } = new(IPAddress.None, 0);

    /// <summary>
    /// Completes when a client has said <c>SHUTDOWN</c>. That client is disconnected, and the server goes on until whoever runs it stops it:
    /// <c>millrace serve</c> does so at once.
    /// </summary>
    public Task ShutdownRequested => _shutdown.Task;

    /// <summary>The version of Redis whose behaviour this is.</summary>
    internal const string RedisVersion = "8.10.0";

    internal EmbeddedStreamStore Store { get; }

    /// <summary>When it was made, in Unix milliseconds.</summary>
    internal long StartedMs { get; }

    /// <summary>Who may log in and do what.</summary>
    internal AccessControl Access { get; }

    /// <summary>The server's own copy: <c>CONFIG SET</c> changes some.</summary>
    internal RespServerOptions Options { get; }

    /// <summary>What <c>stream-node-max-bytes</c> was set to. Only kept, for who asks: blocks are of our own size.</summary>
    internal long NodeMaxBytes { get; set; } = 64 * 1024;

    internal Dispatcher Dispatcher { get; }

    /// <summary>Who listens to what.</summary>
    internal Subscriptions Subscriptions { get; } = new();

    /// <summary>Who sees every command.</summary>
    internal Monitors Monitors { get; } = new();

    /// <summary>Whether commands are run at all.</summary>
    internal ClientPause Pause { get; }

    /// <summary>What it counts of its commands.</summary>
    internal CommandStatistics Statistics { get; } = new(AllCommands.Table);

    /// <summary>Forty hexadecimal digits that no other run of a server has.</summary>
    internal string RunId { get; } = RandomNumberGenerator.GetHexString(40, lowercase: true);

    /// <summary>The moment by the store's clock, in Unix milliseconds.</summary>
    internal long NowMs => Store.Time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Opens the store and listens.</summary>
    /// <exception cref="StreamException">The store cannot be opened.</exception>
    /// <exception cref="IOException">The port is in use, or the address is not one of this machine's or may not be used.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        await Store.OpenAsync(cancellationToken);

        // The first timer of a process makes the thread that runs timers, which takes descriptors: not when they have just run out.
        await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, cancellationToken);
        await _host.StartAsync(cancellationToken);
        var address = _host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        Endpoint = new(Options.Address, new Uri(address).Port);
        SetIdleTimeout(Options.IdleTimeout);
    }

    /// <summary>Stops listening and disconnects every client. Replies already earned are sent first, for a few seconds at most.</summary>
    public Task StopAsync(CancellationToken cancellationToken = default) => _host.StopAsync(cancellationToken);

    /// <summary>Stops, if it was not stopped.</summary>
    public async ValueTask DisposeAsync()
    {
        await _idleTimer.DisposeAsync();
        Pause.Dispose();
        await _host.DisposeAsync();
    }

    /// <summary>How long a client may be silent from now on; zero: for ever.</summary>
    internal void SetIdleTimeout(TimeSpan timeout)
    {
        Options.IdleTimeout = timeout;
        var period = timeout > TimeSpan.Zero ? IdleCheckPeriod : Timeout.InfiniteTimeSpan;
        _idleTimer.Change(period, period);
    }

    internal void RequestShutdown() => _shutdown.TrySetResult();

    /// <summary>A transaction watches one more key.</summary>
    internal void AddWatchNeedsLock(Transaction transaction, KeyRef key)
    {
        _watchers.Add(transaction);
        CollectionsMarshal.GetValueRefOrAddDefault(Store.EngineNeedsLock.Watched, key, out _)++;
    }

    /// <summary>A transaction watches nothing any more.</summary>
    internal void RemoveWatcherNeedsLock(Transaction transaction)
    {
        var watched = Store.EngineNeedsLock.Watched;
        _watchers.Remove(transaction);
        foreach (var key in transaction.Watched)
        {
            if (--CollectionsMarshal.GetValueRefOrNullRef(watched, key) == 0)
                watched.Remove(key);
        }
    }

    /// <summary>Ends the transactions that watch what changed since the last time. Before each command, so that EXEC sees everything.</summary>
    internal void MarkTouchedNeedsLock()
    {
        var touched = Store.EngineNeedsLock.Touched;
        foreach (var transaction in _watchers)
            transaction.IsDirty |= transaction.IsWatchingAny(touched);
        touched.Clear();
    }

    /// <summary>A buffer for one command, kept for the next one unless it is large.</summary>
    internal byte[] GetScratchNeedsLock(int size)
    {
        const int KeptBytes = 64 * 1024;
        if (size > KeptBytes)
            return new byte[size];
        if (_scratch.Length < size)
            _scratch = new byte[(int)BitOperations.RoundUpToPowerOf2((uint)size)];
        return _scratch;
    }

    internal long BeginTurn()
    {
        var nowMs = Store.BeginTurn();
        _isInTurn = true;
        return nowMs;
    }

    /// <summary>Ends the turn and sends the replies it wrote, each client's when they are durable.</summary>
    internal void EndTurn(long nowMs)
    {
        ClientConnection? only = null;
        ClientConnection[]? several = null;
        try
        {
            Store.LeaveTurnNeedsLock(nowMs);
        }
        finally
        {
            _isInTurn = false;
            if (_toFlush.Count == 1)
                only = _toFlush[0];
            else if (_toFlush.Count > 1)
                several = [.. _toFlush];
            foreach (var client in _toFlush)
                client.IsToFlush = false;
            _toFlush.Clear();
            Store.ExitTurn();
        }

        only?.Flush();
        foreach (var client in several ?? [])
            client.Flush();
    }

    /// <summary>Ends a client's wait, if it still waits, from outside any turn.</summary>
    internal void EndWait(BlockedCommand blocked, string? error)
    {
        Store.EnterTurnBesidesTime();
        try
        {
            Store.EndWaitNeedsLock(blocked, _ => blocked.End(error));
        }
        finally
        {
            Store.ExitTurn();
        }
    }

    /// <summary>A command failed in a way that nobody foresaw. Only its client is to suffer.</summary>
    internal void LogFailure(ClientConnection client, Exception exception) => ServerLog.CommandFailed(_logger, client.Id, exception);

    /// <summary>
    /// A client got a reply: it is sent after the turn. Outside a turn of ours, a thread of the pool sends it. Under the output lock in which the
    /// reply was written.
    /// </summary>
    internal void FlushLaterNeedsLock(ClientConnection client)
    {
        client.SetOutputLsnNeedsLock(client.ShowsData ? Store.LastLsnNeedsLock : 0);
        client.ShowsData = false;
        if (!_isInTurn)
            ThreadPool.UnsafeQueueUserWorkItem(static client => client.Flush(), client, preferLocal: false);
        else if (!client.IsToFlush)
        {
            client.IsToFlush = true;
            _toFlush.Add(client);
        }
    }

    /// <summary>Signals are the process's own affair: without this, the host under the server would catch them.</summary>
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
