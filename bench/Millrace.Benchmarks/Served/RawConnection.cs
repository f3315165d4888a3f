using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Millrace.Benchmarks;

/// <summary>
/// A blocking socket that speaks just enough RESP2 to keep a server busy: it skips replies, counts entries and copies their IDs, and makes no
/// objects of anything, so that what is measured is the server.
/// </summary>
internal sealed class RawConnection : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private byte[] _buffer = new byte[1024 * 1024];
    private int _start;
    private int _end;

    public RawConnection(int port) => _socket.Connect(IPAddress.Loopback, port);

    /// <summary>A command as it goes over the wire.</summary>
    public static byte[] Command(params ReadOnlySpan<string> words)
    {
        var text = new StringBuilder($"*{words.Length}\r\n");
        foreach (var word in words)
            text.Append($"${Encoding.UTF8.GetByteCount(word)}\r\n{word}\r\n");
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    /// <summary>The same bytes several times over.</summary>
    public static byte[] Repeat(byte[] command, int count) => [.. Enumerable.Repeat(command, count).SelectMany(static bytes => bytes)];

    public void Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
            bytes = bytes[_socket.Send(bytes)..];
    }

    /// <summary>Sends one command and skips its reply.</summary>
    public void Do(params ReadOnlySpan<string> words)
    {
        Send(Command(words));
        Skip();
    }

    /// <summary>Sends one command and returns the text of its reply, a bulk string.</summary>
    public string Ask(params ReadOnlySpan<string> words)
    {
        Send(Command(words));
        return Encoding.UTF8.GetString(ReadBulk((int)ReadHeader('$')));
    }

    /// <summary>Sends one command and returns its reply, a number.</summary>
    public long AskNumber(params ReadOnlySpan<string> words)
    {
        Send(Command(words));
        return ReadHeader(':');
    }

    /// <summary>Appends as many entries as fast as it goes, in pipelines of 1,000.</summary>
    public void Append(byte[] xadd, int count)
    {
        const int Pipeline = 1_000;
        var pipeline = Repeat(xadd, Pipeline);
        for (var i = 0; i < count; i += Pipeline)
        {
            Send(pipeline);
            Skip(Pipeline);
        }
    }

    /// <summary>Skips whole replies. An error reply throws.</summary>
    public void Skip(int replies = 1)
    {
        for (long left = replies; left > 0; left--)
        {
            var kind = (char)Peek();
            var number = ReadHeader(kind);
            if (kind == '$' && number >= 0)
                ReadBulk((int)number);
            else if (kind == '*' && number > 0)
                left += number;
        }
    }

    /// <summary>Reads the reply of an XREADGROUP from one stream.</summary>
    /// <param name="ids">The IDs are appended as arguments of an XACK.</param>
    /// <returns>How many entries; 0 when there was none in time.</returns>
    public int ReadEntries(AckCommand ids)
    {
        if (ReadHeader('*') < 0)
            return 0;
        ReadHeader('*');
        Skip();
        var count = (int)ReadHeader('*');
        for (var i = 0; i < count; i++)
        {
            ReadHeader('*');
            ids.Add(ReadBulk((int)ReadHeader('$')));
            Skip();
        }

        return count;
    }

    public void Dispose() => _socket.Dispose();

    private byte Peek()
    {
        if (_start == _end)
            Receive();
        return _buffer[_start];
    }

    /// <summary>The number of a line like <c>*3</c>; of a line of text, anything.</summary>
    private long ReadHeader(char kind)
    {
        int length;
        while ((length = _buffer.AsSpan(_start, _end - _start).IndexOf((byte)'\n')) < 0)
            Receive();
        var line = _buffer.AsSpan(_start, length - 1);
        if (line[0] == '-' || line[0] != kind)
            throw new InvalidOperationException($"Expected a reply '{kind}', got: {Encoding.UTF8.GetString(line)}");
        Utf8Parser.TryParse(line[1..], out long number, out _);
        _start += length + 1;
        return number;
    }

    private ReadOnlySpan<byte> ReadBulk(int length)
    {
        while (_end - _start < length + 2)
            Receive();
        _start += length + 2;
        return _buffer.AsSpan(_start - length - 2, length);
    }

    private void Receive()
    {
        if (_start == _end)
        {
            (_start, _end) = (0, 0);
        }
        else if (_end == _buffer.Length)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
            if (_end == _buffer.Length)
                Array.Resize(ref _buffer, _buffer.Length * 2);
        }

        var received = _socket.Receive(_buffer.AsSpan(_end));
        if (received == 0)
            throw new InvalidOperationException("The server closed the connection.");
        _end += received;
    }
}

/// <summary>An XACK that is put together from the bytes of a reply.</summary>
internal sealed class AckCommand(string stream, string group)
{
    private readonly byte[] _head = RawConnection.Command("XACK", stream, group)[4..];
    private readonly byte[] _command = new byte[64 * 1024];
    private int _length;
    private int _count;

    /// <summary>The command with everything that was added; nothing when nothing was.</summary>
    public ReadOnlySpan<byte> Take()
    {
        // The first line, with the number of arguments, goes in front of what is there already.
        var first = Encoding.ASCII.GetBytes($"*{_count + 3}\r\n");
        var start = FirstLineBytes - first.Length;
        first.CopyTo(_command, start);
        var taken = _count == 0 ? default : _command.AsSpan(start, _length - start);
        (_length, _count) = (0, 0);
        return taken;
    }

    public void Add(ReadOnlySpan<byte> id)
    {
        if (_count++ == 0)
        {
            _head.CopyTo(_command, FirstLineBytes);
            _length = FirstLineBytes + _head.Length;
        }

        _command[_length++] = (byte)'$';
        Utf8Formatter.TryFormat(id.Length, _command.AsSpan(_length), out var digits);
        _length += digits;
        "\r\n"u8.CopyTo(_command.AsSpan(_length));
        id.CopyTo(_command.AsSpan(_length + 2));
        "\r\n"u8.CopyTo(_command.AsSpan(_length + 2 + id.Length));
        _length += id.Length + 4;
    }

    private const int FirstLineBytes = 16;
}
