using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics;
using System.Text;

namespace Millrace.Resp;

/// <summary>
/// Writes RESP: commands as a client sends them, and replies in the version the other side speaks. Writes straight
/// into the output; allocates nothing itself.
/// </summary>
/// <param name="output">Where the bytes go.</param>
/// <param name="version">2 or 3. Where RESP2 lacks a type, its customary stand-in is written: a map as a flat array, a
/// boolean as 1 or 0.</param>
public readonly ref struct RespWriter(IBufferWriter<byte> output, int version = 2)
{
    // A prefix, the 20 characters of the longest number, CR and LF.
    private const int MaxHeaderBytes = 23;

    // What is asked of the output in one piece, so that a writer of segments need not join any for a large value.
    private const int MaxWholeBytes = 2 * 1024;

    private bool IsVersion3 => version >= 3;

    /// <summary>Starts an array, or a command: a command is an array of bulk strings, its name first.</summary>
    /// <param name="count">Elements that follow.</param>
    public void WriteArray(int count) => WriteHeader(RespKind.Array, count);

    /// <summary>Starts a map. The pairs follow, key before value.</summary>
    /// <param name="pairs">Pairs, half the elements that follow.</param>
    public void WriteMap(int pairs)
    {
        if (IsVersion3)
            WriteHeader(RespKind.Map, pairs);
        else
            WriteHeader(RespKind.Array, pairs * 2L);
    }

    /// <summary>Starts a set.</summary>
    /// <param name="count">Elements that follow.</param>
    public void WriteSet(int count) => WriteHeader(IsVersion3 ? RespKind.Set : RespKind.Array, count);

    /// <summary>Starts data that answer no command.</summary>
    /// <param name="count">Elements that follow.</param>
    public void WritePush(int count) => WriteHeader(IsVersion3 ? RespKind.Push : RespKind.Array, count);

    /// <summary>Writes any bytes as a bulk string.</summary>
    public void WriteBulk(ReadOnlySpan<byte> value)
    {
        if (value.Length > MaxWholeBytes)
        {
            WriteHeader(RespKind.BulkString, value.Length);
            output.Write(value);
            output.Write("\r\n"u8);
            return;
        }

        var bulk = output.GetSpan(MaxHeaderBytes + value.Length + 2);
        var at = FormatHeader(bulk, RespKind.BulkString, value.Length);
        value.CopyTo(bulk[at..]);
        at += value.Length;
        bulk[at++] = (byte)'\r';
        bulk[at++] = (byte)'\n';
        output.Advance(at);
    }

    /// <summary>Writes a text as a bulk string in UTF-8. A lone surrogate becomes U+FFFD.</summary>
    public void WriteBulk(ReadOnlySpan<char> value)
    {
        var length = Encoding.UTF8.GetByteCount(value);
        WriteHeader(RespKind.BulkString, length);
        output.Advance(Encoding.UTF8.GetBytes(value, output.GetSpan(length)));
        output.Write("\r\n"u8);
    }

    /// <summary>Writes the digits of a number as a bulk string, as commands want it.</summary>
    public void WriteBulk(long value)
    {
        Span<byte> digits = stackalloc byte[20];
        Utf8Formatter.TryFormat(value, digits, out var length);
        WriteBulk(digits[..length]);
    }

    /// <summary>Writes a number.</summary>
    public void WriteInteger(long value) => WriteHeader(RespKind.Integer, value);

    /// <summary>Writes a short text. Control characters become blanks, so that no text can forge a reply.</summary>
    public void WriteSimple(ReadOnlySpan<char> text) => WriteLine(RespKind.SimpleString, text);

    /// <summary>Writes an error. Control characters become blanks, so that no text can forge a reply.</summary>
    /// <param name="codeAndMessage">The code in capitals, a blank, and the message.</param>
    public void WriteError(ReadOnlySpan<char> codeAndMessage) => WriteLine(RespKind.Error, codeAndMessage);

    /// <summary>Writes null: RESP3's, or RESP2's null bulk string.</summary>
    public void WriteNull() => output.Write(IsVersion3 ? "_\r\n"u8 : "$-1\r\n"u8);

    /// <summary>Writes null where the command would otherwise answer an array: RESP3's, or RESP2's null array.</summary>
    public void WriteNullArray() => output.Write(IsVersion3 ? "_\r\n"u8 : "*-1\r\n"u8);

    /// <summary>Writes true or false.</summary>
    public void WriteBoolean(bool value)
    {
        if (IsVersion3)
            output.Write(value ? "#t\r\n"u8 : "#f\r\n"u8);
        else
            WriteInteger(value ? 1 : 0);
    }

    /// <summary>Writes a floating point number, in the fewest digits that read back as the same value.</summary>
    public void WriteDouble(double value)
    {
        Span<byte> digits = stackalloc byte[32];
        var text = (ReadOnlySpan<byte>)digits;
        if (double.IsFinite(value))
        {
            var isFormatted = Utf8Formatter.TryFormat(value, digits, out var length);
            Debug.Assert(isFormatted, "No double takes more than 24 characters.");
            text = digits[..length];
        }
        else
        {
            text = double.IsNaN(value) ? "nan"u8 : value > 0 ? "inf"u8 : "-inf"u8;
        }

        if (!IsVersion3)
        {
            WriteBulk(text);
            return;
        }

        output.Write(","u8);
        output.Write(text);
        output.Write("\r\n"u8);
    }

    private void WriteHeader(RespKind kind, long number) =>
        output.Advance(FormatHeader(output.GetSpan(MaxHeaderBytes), kind, number));

    private static int FormatHeader(Span<byte> header, RespKind kind, long number)
    {
        var at = 0;
        header[at++] = (byte)kind;
        if ((ulong)number < 10)
        {
            header[at++] = (byte)('0' + number);
        }
        else
        {
            Utf8Formatter.TryFormat(number, header[at..], out var digits);
            at += digits;
        }

        header[at++] = (byte)'\r';
        header[at++] = (byte)'\n';
        return at;
    }

    private void WriteLine(RespKind kind, ReadOnlySpan<char> text)
    {
        var line = output.GetSpan(Encoding.UTF8.GetMaxByteCount(text.Length) + 3);
        line[0] = (byte)kind;
        var length = Encoding.UTF8.GetBytes(text, line[1..]);
        foreach (ref var character in line.Slice(1, length))
        {
            if (character is < 0x20 or 0x7F)
                character = (byte)' ';
        }

        "\r\n"u8.CopyTo(line[(length + 1)..]);
        output.Advance(length + 3);
    }
}
