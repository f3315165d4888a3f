using System.Net;
using System.Net.Sockets;
using System.Text;
using Millrace.Resp;

namespace Millrace.Tests.Differential;

/// <summary>A connection that hands out each reply as the very bytes that came.</summary>
internal sealed class RawConnection : IDisposable
{
    // A server that shares two cores with builds may be slow; one that says nothing for so long hangs.
    private const int TimeoutMs = 30_000;

    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
    {
        NoDelay = true,
        ReceiveTimeout = TimeoutMs,
        SendTimeout = TimeoutMs,
    };

    private readonly RespFrameScanner _scanner = new(RespLimits.Default);
    private readonly List<byte> _output = [];
    private byte[] _input = new byte[64 * 1024];
    private int _start;
    private int _end;

    public RawConnection(IPEndPoint endpoint) => _socket.Connect(endpoint);

    /// <summary>Sends all commands in one write.</summary>
    public void Send(params IEnumerable<Command> commands)
    {
        _output.Clear();
        foreach (var command in commands)
            command.WriteTo(_output);
        Send(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_output));
    }

    /// <summary>Sends bytes as they are.</summary>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
            bytes = bytes[_socket.Send(bytes)..];
    }

    /// <summary>The bytes of the next reply, which stay valid until the next call.</summary>
    /// <exception cref="NoReplyException">The server closed the connection, says nothing, or says what is not RESP.</exception>
    public ReadOnlySpan<byte> Read()
    {
        var scanned = 0;
        while (true)
        {
            if (TryFindEnd(scanned, out var length))
            {
                _start += length;
                return _input.AsSpan(_start - length, length);
            }

            scanned = _end - _start;
            Receive();
        }
    }

    /// <summary>Whether bytes of a reply are here.</summary>
    public bool HasInput => _end > _start || _socket.Poll(0, SelectMode.SelectRead);

    /// <summary>Sends one command and returns its reply as a tree.</summary>
    public RespNode Ask(params string[] arguments)
    {
        Send(new Command(arguments));
        return RespNode.Parse(Read());
    }

    public void Dispose() => _socket.Dispose();

    private bool TryFindEnd(int scanned, out int length)
    {
        try
        {
            var found = _scanner.TryFindEnd(_input.AsSpan(_start + scanned, _end - _start - scanned), out length);
            length += scanned;
            return found;
        }
        catch (RespException exception)
        {
            throw new NoReplyException($"not RESP: {exception.Message} {Encoding.Latin1.GetString(_input, _start, _end - _start)}");
        }
    }

    private void Receive()
    {
        if (_start > 0)
        {
            _input.AsSpan(_start, _end - _start).CopyTo(_input);
            (_start, _end) = (0, _end - _start);
        }

        if (_end == _input.Length)
            Array.Resize(ref _input, _input.Length * 2);
        try
        {
            var received = _socket.Receive(_input.AsSpan(_end));
            if (received == 0)
                throw new NoReplyException("the connection was closed");
            _end += received;
        }
        catch (SocketException exception)
        {
            throw new NoReplyException(exception.SocketErrorCode == SocketError.TimedOut
                ? $"no reply within {TimeoutMs / 1000} s"
                : exception.Message);
        }
    }
}

/// <summary>A reply that should have come did not.</summary>
internal sealed class NoReplyException(string message) : Exception(message);
