using System.Buffers;
using System.Diagnostics;
using System.Text;
using System.Text.Unicode;

namespace Millrace.Streams.Names;

/// <summary>
/// Names as text without loss. A Redis key is any bytes, a name of the contract is Unicode text; both are <see cref="string"/> in the engine.
/// </summary>
/// <remarks>
/// Valid UTF-8 decodes as usual. Each byte that is part of no valid sequence becomes the lone low surrogate U+DC00 + byte, which no valid
/// UTF-8 decodes to and which the contract refuses, so that every name of bytes has exactly one text (the scheme of PEP 383).
/// </remarks>
internal static class KeyText
{
    private const int EscapeBase = 0xDC00;

    /// <summary>Orders names by their bytes, as Redis orders groups and consumers. Ordinal order differs above U+D7FF.</summary>
    public static IComparer<string> ByteComparer { get; } = Comparer<string>.Create(Compare);

    public static string Decode(ReadOnlySpan<byte> bytes)
    {
        Span<char> text = bytes.Length <= 256 ? stackalloc char[256] : new char[bytes.Length];
        return new(text[..Decode(bytes, text)]);
    }

    /// <summary>Decodes into a buffer of at least as many characters as there are bytes.</summary>
    /// <returns>Characters written.</returns>
    public static int Decode(ReadOnlySpan<byte> bytes, Span<char> text)
    {
        // Nearly every name is ASCII, which is widened at once.
        if (Ascii.ToUtf16(bytes, text, out var written) == OperationStatus.Done)
            return written;

        int read = 0;
        written = 0;
        while (read < bytes.Length)
        {
            var status = Utf8.ToUtf16(bytes[read..], text[written..], out var bytesRead, out var charsWritten, replaceInvalidSequences: false);
            read += bytesRead;
            written += charsWritten;
            if (status != OperationStatus.Done)
                text[written++] = (char)(EscapeBase + bytes[read++]);
        }

        return written;
    }

    /// <summary>Number of bytes of a name.</summary>
    public static int ByteCount(ReadOnlySpan<char> text)
    {
        if (Ascii.IsValid(text))
            return text.Length;
        var count = 0;
        while (!text.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(text, out var rune, out var consumed) == OperationStatus.Done)
                count += rune.Utf8SequenceLength;
            else
                count++;
            text = text[consumed..];
        }

        return count;
    }

    public static byte[] Encode(ReadOnlySpan<char> text)
    {
        var bytes = new byte[ByteCount(text)];
        Encode(text, bytes);
        return bytes;
    }

    /// <summary>Encodes into a buffer of at least <see cref="ByteCount"/> bytes.</summary>
    /// <returns>Bytes written.</returns>
    public static int Encode(ReadOnlySpan<char> text, Span<byte> bytes)
    {
        if (Ascii.FromUtf16(text, bytes, out var written) == OperationStatus.Done)
            return written;
        written = 0;
        while (!text.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(text, out var rune, out var consumed) == OperationStatus.Done)
            {
                written += rune.EncodeToUtf8(bytes[written..]);
            }
            else
            {
                Debug.Assert(text[0] is > (char)EscapeBase and <= (char)(EscapeBase + byte.MaxValue), "Half a pair is an escaped byte.");
                bytes[written++] = (byte)(text[0] - EscapeBase);
            }

            text = text[consumed..];
        }

        return written;
    }

    private static int Compare(string left, string right) =>
        Ascii.IsValid(left) && Ascii.IsValid(right)
            ? string.CompareOrdinal(left, right)
            : Encode(left).AsSpan().SequenceCompareTo(Encode(right));
}
