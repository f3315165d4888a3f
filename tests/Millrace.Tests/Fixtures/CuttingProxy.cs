using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// Stands between a client and a real server, and can hold replies back, put bytes of its own into their place, cut connections, be a
/// black hole, or pass replies on byte by byte. New connections are passed through unharmed, but for the last two, and may lead to another server.
/// </summary>
public sealed class CuttingProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Link, byte> _links = new();
    private Task _accepting = Task.CompletedTask;
    private volatile TaskCompletionSource? _hole;
    private volatile int _serverPort;
    private int _acceptedCount;
    private int _linkedCount;

    private CuttingProxy(int serverPort) => _serverPort = serverPort;

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Connections ever accepted, whatever became of them.</summary>
    public int AcceptedCount => Volatile.Read(ref _acceptedCount);

    /// <summary>Connections ever led to a server.</summary>
    public int LinkedCount => Volatile.Read(ref _linkedCount);

    /// <summary>Leads new connections to another server, as a name does that was given to it. Those there are stay.</summary>
    public void LeadTo(RedisServer server) => _serverPort = server.Port;

    /// <summary>Whether each byte of a reply is sent alone.</summary>
    public volatile bool IsTrickling;

    public static CuttingProxy Start(int serverPort)
    {
        var proxy = new CuttingProxy(serverPort);
        proxy._listener.Start();
        proxy._accepting = proxy.AcceptAsync();
        return proxy;
    }

    /// <summary>From now on the connections there are pass no more replies. Returns when a request has come in after that.</summary>
    public Task HoldRepliesAsync()
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        foreach (var link in _links.Keys)
            link.Held = held;
        return held.Task;
    }

    /// <summary>Sends the clients of held connections bytes as if they came from the server.</summary>
    public async Task InjectAsync(ReadOnlyMemory<byte> bytes)
    {
        foreach (var link in _links.Keys.Where(link => link.Held is not null))
            await link.Client.SendAsync(bytes);
    }

    /// <summary>
    /// From now on nothing passes, no byte and no end of a connection, though connections are accepted: as when a cable was pulled.
    /// </summary>
    public void BlackHole() => _hole = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends the black hole. What was sent meanwhile arrives now, as TCP would send it again.</summary>
    public void Restore()
    {
        var hole = _hole;
        _hole = null;
        hole?.TrySetResult();
    }

    /// <summary>Closes the connections there are.</summary>
    public void Cut()
    {
        foreach (var link in _links.Keys)
            link.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        Cut();
        Restore();
        await _accepting;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = await _listener.AcceptSocketAsync();
                Interlocked.Increment(ref _acceptedCount);
                client.NoDelay = true;
                var link = new Link(client, new(SocketType.Stream, ProtocolType.Tcp));
                try
                {
                    await link.Server.ConnectAsync(IPAddress.Loopback, _serverPort);
                }
                catch (SocketException)
                {
                    // The server is away, and the client learns it from its end of the connection.
                    link.Dispose();
                    continue;
                }

                Interlocked.Increment(ref _linkedCount);
                _links.TryAdd(link, 0);
                _ = PumpAsync(link);
            }
        }
        catch (Exception exception) when (exception is SocketException or InvalidOperationException)
        {
            // The listener was stopped, perhaps between two connections.
        }
    }

    private async Task PumpAsync(Link link)
    {
        await Task.WhenAny(
            PumpAsync(link.Client, link.Server, () => link.Held?.TrySetResult(), () => true, () => false),
            PumpAsync(link.Server, link.Client, () => { }, () => link.Held is null, () => IsTrickling));
        _links.TryRemove(link, out _);
        link.Dispose();
    }

    private async Task PumpAsync(Socket from, Socket to, Action received, Func<bool> mayPass, Func<bool> isTrickling)
    {
        try
        {
            var buffer = new byte[16 * 1024];
            while (true)
            {
                var count = await from.ReceiveAsync(buffer.AsMemory());
                if (_hole is { } hole)
                    await hole.Task;
                if (count == 0)
                    return;
                received();
                if (!mayPass())
                    continue;
                var chunk = isTrickling() ? 1 : count;
                for (var sent = 0; sent < count; sent += chunk)
                    await to.SendAsync(buffer.AsMemory(sent, chunk));
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // One side is gone; the other follows.
        }
    }

    private sealed class Link(Socket client, Socket server) : IDisposable
    {
        public Socket Client => client;

        public Socket Server => server;

        public volatile TaskCompletionSource? Held;

        public void Dispose()
        {
            client.Dispose();
            server.Dispose();
        }
    }
}
