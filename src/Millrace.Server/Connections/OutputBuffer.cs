using System.Buffers;
using Millrace.Streams.Names;

namespace Millrace.Server.Connections;

/// <summary>The replies a connection has not sent yet. Written under the connection's output lock.</summary>
/// <remarks>
/// Above its limit nothing in it is sent any more, because the connection is closed. Until then what is written starts over at the beginning, so
/// that a command, or a whole EXEC, still runs to its end while the memory stays bounded.
/// </remarks>
internal sealed class OutputBuffer : IBufferWriter<byte>
{
    /// <summary>A buffer that one large reply blew up is given back above this size.</summary>
    private const int KeptBytes = 256 * 1024;

    private const int InitialBytes = 4 * 1024;

    private static readonly SearchValues<byte> LineEnds = SearchValues.Create("\r\n"u8);

    private byte[] _bytes = new byte[InitialBytes];

    /// <summary>Bytes written.</summary>
    public int Length { get; private set; }

    /// <summary>Bytes it may hold.</summary>
    public required long LimitBytes { get; set; }

    /// <summary>More was written than it may hold: what it holds is of no use.</summary>
    public bool IsOverfull { get; private set; }

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, Length);

    public void Advance(int count) => Length += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsMemory(Length);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsSpan(Length);
    }

    public void WriteRaw(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(GetSpan(bytes.Length));
        Length += bytes.Length;
    }

    /// <summary>Writes an error reply that may quote names of any bytes; line ends become blanks, so that no name can forge a reply.</summary>
    public void WriteErrorLine(string codeAndMessage)
    {
        var length = KeyText.ByteCount(codeAndMessage);
        var line = GetSpan(length + 3);
        line[0] = (byte)'-';
        KeyText.Encode(codeAndMessage, line[1..]);
        line.Slice(1, length).ReplaceAny(LineEnds, (byte)' ');
        "\r\n"u8.CopyTo(line[(length + 1)..]);
        Length += length + 3;
    }

    /// <summary>Whether what was written after a mark is an error reply.</summary>
    public bool IsErrorAt(int mark) => mark < Length && _bytes[mark] == (byte)'-';

    /// <summary>Takes back what was written after a mark: a command failed in the middle of its reply.</summary>
    public void Truncate(int length) => Length = length;

    public void Clear()
    {
        Length = 0;
        if (_bytes.Length > KeptBytes)
            _bytes = new byte[InitialBytes];
    }

    private void Reserve(int size)
    {
        if (_bytes.Length - Length >= Math.Max(size, 1))
            return;
        if (Length + Math.Max(size, 1) > LimitBytes)
            (IsOverfull, Length) = (true, 0);
        if (_bytes.Length - Length < Math.Max(size, 1))
            Array.Resize(ref _bytes, checked((int)Math.Min(Math.Max(2L * _bytes.Length, (long)Length + size), Array.MaxLength)));
    }
}
