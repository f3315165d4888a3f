using System.Buffers;
using System.Text;
using Millrace.Resp;

namespace Millrace.Redis.Connections;

/// <summary>
/// One command, encoded as its arguments are added. Complete when it is handed to the client, which only reads it: it may be sent again
/// or on several connections.
/// </summary>
internal sealed class RespCommand
{
    // The arguments as bulk strings, between those of other commands of a batch; the array header is written when the command is sent,
    // since the count is known only then.
    private readonly RespBuffer _buffer;
    private readonly int _start;
    private int _count;

    // The call of a script: what our own server has in its place, and the bytes of EVALSHA and the hash. Which of the two is sent is known
    // only with the connection.
    private string? _ownCommand;
    private int _scriptBytes;

    /// <summary>Starts a command.</summary>
    /// <param name="name">One word, as in <c>XADD</c>. It appears in error messages; arguments never do.</param>
    /// <param name="capacityBytes">Expected bytes of the arguments, to spare copies.</param>
    public RespCommand(string name, int capacityBytes = 128)
        : this(name, new RespBuffer(new byte[capacityBytes]))
    {
    }

    /// <summary>Starts a command behind those that are in a buffer, which are complete.</summary>
    /// <param name="name">See the other constructor.</param>
    /// <param name="buffer">What commands of a batch share. It is kept by whoever made it.</param>
    public RespCommand(string name, RespBuffer buffer)
        : this(buffer, name) => Add(name);

    private RespCommand(RespBuffer buffer, string name) => (Name, _buffer, _start) = (name, buffer, buffer.WrittenCount);

    /// <summary>Starts the call of a script, which our own server runs as a command with the same arguments.</summary>
    /// <param name="hash">The script's SHA-1.</param>
    /// <param name="ownCommand">The command.</param>
    /// <param name="buffer">See the constructor.</param>
    public static RespCommand OfScript(string hash, string ownCommand, RespBuffer buffer)
    {
        var call = new RespCommand("EVALSHA", buffer).Add(hash);
        (call._ownCommand, call._scriptBytes) = (ownCommand, call.ByteCount);
        return call;
    }

    /// <summary>Starts what is to be a part of a command only, see <see cref="AddAll"/>.</summary>
    /// <param name="buffer">Kept by whoever made it.</param>
    public static RespCommand Arguments(RespBuffer buffer) => new(buffer, "");

    public string Name { get; }

    /// <summary>Bytes on the wire, the array header not counted.</summary>
    public int ByteCount { get; private set; }

    /// <summary>Adds any bytes.</summary>
    public RespCommand Add(ReadOnlySpan<byte> argument)
    {
        new RespWriter(_buffer).WriteBulk(argument);
        return Added();
    }

    /// <summary>Adds a text as UTF-8.</summary>
    public RespCommand Add(string argument)
    {
        new RespWriter(_buffer).WriteBulk(argument.AsSpan());
        return Added();
    }

    /// <summary>Adds a number as digits.</summary>
    public RespCommand Add(long argument)
    {
        new RespWriter(_buffer).WriteBulk(argument);
        return Added();
    }

    /// <summary>Adds an argument that formats itself as UTF-8, as entry IDs do, without a string in between.</summary>
    /// <param name="argument">The argument; its text has at most 64 bytes.</param>
    public RespCommand AddFormatted<T>(T argument)
        where T : IUtf8SpanFormattable
    {
        Span<byte> text = stackalloc byte[64];
        if (!argument.TryFormat(text, out var length, default, null))
            throw new ArgumentException($"The text of a {typeof(T).Name} is longer than 64 bytes.", nameof(argument));
        return Add(text[..length]);
    }

    /// <summary>Adds all arguments that were put together apart.</summary>
    public RespCommand AddAll(RespCommand arguments)
    {
        _buffer.Write(arguments.Encoded);
        _count += arguments._count - 1;
        return Added();
    }

    /// <summary>Writes the command as it goes over the wire.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="isMillrace">Whether our own server is at the other end.</param>
    public void WriteTo(IBufferWriter<byte> output, bool isMillrace)
    {
        var writer = new RespWriter(output);
        if (isMillrace && _ownCommand is not null)
        {
            writer.WriteArray(_count - 1);
            writer.WriteBulk(_ownCommand.AsSpan());
            output.Write(Encoded[_scriptBytes..]);
            return;
        }

        writer.WriteArray(_count);
        output.Write(Encoded);
    }

    /// <summary>The name only: arguments may hold payload or a password.</summary>
    public override string ToString() => Name;

    private ReadOnlySpan<byte> Encoded => _buffer.WrittenSpan.Slice(_start, ByteCount);

    private RespCommand Added()
    {
        (_count, ByteCount) = (_count + 1, _buffer.WrittenCount - _start);
        return this;
    }
}
