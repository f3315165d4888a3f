using System.Buffers.Text;

namespace Millrace.Streams.Engine;

/// <summary>
/// How a state document lies in the keyspace: as the string it is on Redis, so that string commands find the same there and here.
/// </summary>
/// <remarks><code>version in decimal | line feed | payload</code></remarks>
internal static class StateText
{
    private const int MaxVersionDigits = 19;

    /// <summary>Writes a document. Copies the payload.</summary>
    public static byte[] Write(long version, ReadOnlySpan<byte> payload)
    {
        Span<byte> digits = stackalloc byte[MaxVersionDigits];
        Utf8Formatter.TryFormat(version, digits, out var length);
        return [.. digits[..length], (byte)'\n', .. payload];
    }

    /// <summary>Reads a document. False when somebody else put a string there that is none.</summary>
    /// <param name="text">The string.</param>
    /// <param name="version">The document's version.</param>
    /// <param name="payloadAt">Where its payload begins.</param>
    public static bool TryRead(ReadOnlySpan<byte> text, out long version, out int payloadAt)
    {
        payloadAt = 0;
        if (!Utf8Parser.TryParse(text, out version, out var digits) || text[digits..] is not [(byte)'\n', ..] || version is < 0 or long.MaxValue)
            return false;
        payloadAt = digits + 1;
        return true;
    }
}
