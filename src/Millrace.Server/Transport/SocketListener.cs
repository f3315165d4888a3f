using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Millrace.Server.Transport;

/// <summary>Accepts connections on one address, as many at a time as there are descriptors for. The others wait in the system's queue.</summary>
internal sealed class SocketListener : IConnectionListener
{
    /// <summary>Between two attempts while the process or the system is out of descriptors: the error comes back at once as long as it lasts.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly Socket _socket;
    private readonly SemaphoreSlim _room;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _closing = new();
    private bool _isOutOfDescriptors;

    public SocketListener(EndPoint endpoint, int maxConnections, TimeProvider time, ILogger logger)
    {
        _room = new(maxConnections);
        _time = time;
        _logger = logger;
        _socket = new(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            _socket.Bind(endpoint);
            _socket.Listen(511);
        }
        catch (SocketException e)
        {
            _socket.Dispose();
            throw e.SocketErrorCode == SocketError.AddressAlreadyInUse
                ? new AddressInUseException(e.Message, e)
                : new IOException($"{endpoint} cannot be listened on: {e.Message}", e);
        }

        EndPoint = _socket.LocalEndPoint!;
    }

    public EndPoint EndPoint { get; }

    /// <summary>The next connection, or null when the listener was closed.</summary>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            await _room.WaitAsync(_closing.Token);
            return new SocketConnection(await AcceptSocketAsync(cancellationToken), _room);
        }
        catch (Exception e) when (IsClosed(e))
        {
            return null;
        }
    }

    private async ValueTask<Socket> AcceptSocketAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                var socket = await _socket.AcceptAsync(cancellationToken);
                _isOutOfDescriptors = false;
                socket.NoDelay = true;
                KeepAlive(socket);
                return socket;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
            {
                if (!_isOutOfDescriptors)
                    ServerLog.OutOfDescriptors(_logger, e.Message);
                _isOutOfDescriptors = true;
                await Task.Delay(Pause, _time, _closing.Token);
            }
            catch (SocketException e) when (!IsClosed(e))
            {
                // The client was gone before it was accepted. The next one may not be.
            }
        }
    }

    private bool IsClosed(Exception e) => e is ObjectDisposedException
        or SocketException { SocketErrorCode: SocketError.OperationAborted or SocketError.NotSocket }
        || (e is OperationCanceledException && _closing.IsCancellationRequested);

    /// <summary>A client whose machine is gone says nothing more: one that waits for a key would be kept for ever. The times are Redis's.</summary>
    private static void KeepAlive(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 300);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 100);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => DisposeAsync();

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync();
        _socket.Dispose();
    }
}
