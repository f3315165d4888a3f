using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Storage;
using Millrace.Server;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server;

/// <summary>A server in this process, over a store of its own.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    private readonly EmbeddedStreamStore _store;
    private readonly RespServer _server;

    private TestServer(RespServerOptions options, TimeProvider? time, string? directory, SyncPolicy sync, long maxMemoryBytes, IStorageDevice? device)
    {
        _store = new(
            new() { Directory = directory, Sync = sync, MaxMemoryBytes = maxMemoryBytes }, time, logger: null, device is null ? null : () => device);
        _server = new(_store, options);
    }

    /// <param name="configure">Changes the options, which pick a free port.</param>
    /// <param name="time">The store's clock and timers.</param>
    /// <param name="directory">Where the store keeps its journal; null for a store in memory.</param>
    /// <param name="sync">When the journal is synced.</param>
    /// <param name="maxMemoryBytes">What the keys may take; 0 for no limit.</param>
    /// <param name="device">What it keeps its journal on, in place of a directory.</param>
    public static async Task<TestServer> StartAsync(
        Action<RespServerOptions>? configure = null,
        TimeProvider? time = null,
        string? directory = null,
        SyncPolicy sync = SyncPolicy.Never,
        long maxMemoryBytes = 0,
        IStorageDevice? device = null)
    {
        var options = new RespServerOptions { Port = 0 };
        configure?.Invoke(options);
        var server = new TestServer(options, time, directory, sync, maxMemoryBytes, device);
        await server._server.StartAsync();
        return server;
    }

    /// <summary>Clients that wait in a command.</summary>
    public int WaitingCount => _store.CountWaiting();

    /// <summary>Completes when a client has said SHUTDOWN.</summary>
    public Task ShutdownRequested => _server.ShutdownRequested;

    /// <summary>The server itself, to look at its clients.</summary>
    public RespServer Server => _server;

    /// <summary>The store, to change it at its other door.</summary>
    public EmbeddedStreamStore Store => _store;

    public int Port => _server.Endpoint.Port;

    public RawConnection Connect() => new(_server.Endpoint);

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        await _store.DisposeAsync();
    }
}

/// <summary>Tests that talk over one connection to a server of their own.</summary>
public abstract class ServerTest : IAsyncLifetime
{
    private protected TestServer Server { get; private set; } = null!;

    private protected RawConnection Client { get; private set; } = null!;

    public virtual async ValueTask InitializeAsync()
    {
        Server = await TestServer.StartAsync();
        Client = Server.Connect();
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Server.DisposeAsync();
    }
}

internal static class StoreExtensions
{
    /// <summary>Reads that wait, seen between turns: a turn that makes one wait has set its timer when this counts it.</summary>
    public static int CountWaiting(this EmbeddedStreamStore store)
    {
        store.BeginTurn();
        try
        {
            return store.BlockedNeedsLock.Count;
        }
        finally
        {
            store.ExitTurn();
        }
    }

    /// <summary>What the keys take, seen without a turn of time.</summary>
    public static long UsedMemory(this EmbeddedStreamStore store)
    {
        store.EnterTurnBesidesTime();
        try
        {
            return store.EngineNeedsLock.UsedBytes;
        }
        finally
        {
            store.ExitTurn();
        }
    }

    /// <summary>Sets what the keys may take, as CONFIG SET does; 0 for no limit.</summary>
    public static void LimitMemory(this EmbeddedStreamStore store, long maxMemoryBytes)
    {
        var nowMs = store.BeginTurn();
        try
        {
            store.MaxMemoryBytesNeedsLock = maxMemoryBytes;
            store.LeaveTurnNeedsLock(nowMs);
        }
        finally
        {
            store.ExitTurn();
        }
    }
}

/// <summary>Replies as the text that came, for tests that name every byte.</summary>
internal static class RawConnectionExtensions
{
    /// <summary>Sends one command, its words split at blanks, and returns the bytes of the reply as text.</summary>
    public static string Exchange(this RawConnection connection, string command)
    {
        connection.Send(new Command(command.Split(' ')));
        return connection.ReadText();
    }

    public static string ReadText(this RawConnection connection) => Encoding.Latin1.GetString(connection.Read());
}
