using System.Buffers.Text;

namespace Millrace.Server.Commands;

/// <summary>Numbers as Redis reads them from arguments.</summary>
internal static class Numbers
{
    /// <summary>
    /// A signed number in its one canonical form: no plus, no leading zeros, no blanks, no <c>-0</c>.
    /// </summary>
    public static bool TryParseInt64(ReadOnlySpan<byte> text, out long value)
    {
        value = 0;
        if (text.Length is 0 or > 20)
            return false;
        var digits = text[0] == '-' ? text[1..] : text;
        if (digits.IsEmpty || (digits[0] == '0' && text.Length > 1) || (uint)(digits[0] - '0') > 9)
            return false;
        return Utf8Parser.TryParse(text, out value, out var used) && used == text.Length;
    }

    /// <summary>A cursor of a scan: any number of 64 bits, leading zeros and all.</summary>
    public static bool TryParseCursor(ReadOnlySpan<byte> text, out ulong value) =>
        Utf8Parser.TryParse(text, out value, out var used) && used == text.Length;
}
