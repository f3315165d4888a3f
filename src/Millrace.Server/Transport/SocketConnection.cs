using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Millrace.Server.Transport;

/// <summary>One accepted socket as Kestrel wants it. Its place is given back to the listener when it is closed.</summary>
internal sealed class SocketConnection : ConnectionContext, IConnectionSocketFeature, IDuplexPipe
{
    private readonly SocketInput _input;
    private readonly SocketOutput _output;
    private readonly SemaphoreSlim _room;
    private readonly CancellationTokenSource _closed = new();
    private int _isDisposed;

    public SocketConnection(Socket socket, SemaphoreSlim room)
    {
        Socket = socket;
        _room = room;
        LocalEndPoint = socket.LocalEndPoint;
        RemoteEndPoint = socket.RemoteEndPoint;
        _input = new(socket);
        _output = new(socket);
        Transport = this;
        ConnectionClosed = _closed.Token;
        Features.Set<IConnectionSocketFeature>(this);
    }

    public Socket Socket { get; }

    public override IDuplexPipe Transport { get; set; }

    public PipeReader Input => _input;

    public PipeWriter Output => _output;

    public override string ConnectionId { get; set; } = Guid.NewGuid().ToString("N");

    public override IFeatureCollection Features { get; } = new FeatureCollection();

    public override IDictionary<object, object?> Items { get; set; } = new ConnectionItems();

    /// <summary>Ends both directions at once. Reads and writes under way fail.</summary>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        try
        {
            // Not a reset: replies that were sent, such as the error that says why, still arrive.
            Socket.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // It was not connected any more, which is what is wanted.
        }
        catch (ObjectDisposedException)
        {
            // Nor was it.
        }
    }

    public override async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
            return;
        Abort(new ConnectionAbortedException());
        Socket.Dispose();
        _room.Release();
        await _closed.CancelAsync();
        _closed.Dispose();
    }
}
