using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Millrace.Benchmarks;

/// <summary>PING on a socket of its own, blocking, without any client in between: the fastest round trip this machine and server can do from .NET.</summary>
internal sealed class PingConnection : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly byte[] _reply = new byte[64];

    public PingConnection(int port) => _socket.Connect(IPAddress.Loopback, port);

    public void Measure(Samples samples, int count, TimeSpan pause)
    {
        for (var i = 0; i < count; i++)
        {
            var start = Stopwatch.GetTimestamp();
            _socket.Send("*1\r\n$4\r\nPING\r\n"u8);
            for (var received = 0; received < "+PONG\r\n"u8.Length;)
                received += _socket.Receive(_reply);
            samples.Add(start, Stopwatch.GetTimestamp());
            Samples.Spin(pause);
        }
    }

    /// <summary>The same through the runtime's asynchronous sockets, which every .NET client that does not block a thread pays for.</summary>
    public async Task MeasureAsync(Samples samples, int count, TimeSpan pause)
    {
        var ping = "*1\r\n$4\r\nPING\r\n"u8.ToArray();
        for (var i = 0; i < count; i++)
        {
            var start = Stopwatch.GetTimestamp();
            await _socket.SendAsync(ping);
            for (var received = 0; received < "+PONG\r\n"u8.Length;)
                received += await _socket.ReceiveAsync(_reply);
            samples.Add(start, Stopwatch.GetTimestamp());
            Samples.Spin(pause);
        }
    }

    public void Dispose() => _socket.Dispose();
}
