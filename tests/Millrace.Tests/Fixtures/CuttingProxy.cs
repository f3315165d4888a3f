using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// Stands between a client and a real server, and can hold replies back, put bytes of its own into their place, or cut connections. New
/// connections are passed through unharmed.
/// </summary>
public sealed class CuttingProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Link, byte> _links = new();
    private readonly int _serverPort;
    private Task _accepting = Task.CompletedTask;

    private CuttingProxy(int serverPort) => _serverPort = serverPort;

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

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
        await _accepting;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = await _listener.AcceptSocketAsync();
                var server = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await server.ConnectAsync(IPAddress.Loopback, _serverPort);
                var link = new Link(client, server);
                _links.TryAdd(link, 0);
                _ = PumpAsync(link);
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The listener was stopped.
        }
    }

    private async Task PumpAsync(Link link)
    {
        await Task.WhenAny(
            PumpAsync(link.Client, link.Server, () => link.Held?.TrySetResult(), () => true),
            PumpAsync(link.Server, link.Client, () => { }, () => link.Held is null));
        _links.TryRemove(link, out _);
        link.Dispose();
    }

    private static async Task PumpAsync(Socket from, Socket to, Action received, Func<bool> mayPass)
    {
        try
        {
            var buffer = new byte[16 * 1024];
            while (await from.ReceiveAsync(buffer.AsMemory()) is > 0 and var count)
            {
                received();
                if (mayPass())
                    await to.SendAsync(buffer.AsMemory(0, count));
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
