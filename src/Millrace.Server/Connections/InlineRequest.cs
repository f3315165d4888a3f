using System.Globalization;

namespace Millrace.Server.Connections;

/// <summary>
/// A request as a person types it: words between blanks, with <c>"…"</c> (escapes <c>\n \r \t \b \a \xHH \\ \"</c>) and <c>'…'</c> (escape
/// <c>\'</c>) for words that hold blanks. A closing quote ends the word.
/// </summary>
internal static class InlineRequest
{
    /// <summary>Unquotes the words of a line into bytes of their own.</summary>
    /// <returns>False when a quote is not closed, or goes on after it was.</returns>
    public static bool TrySplit(ReadOnlySpan<byte> line, List<ArgumentRange> arguments, out byte[] own)
    {
        own = new byte[line.Length];
        var (at, length) = (0, 0);
        while (true)
        {
            while (at < line.Length && IsBlank(line[at]))
                at++;
            if (at == line.Length)
                return true;

            var start = length;
            while (at < line.Length && !IsBlank(line[at]))
            {
                if (line[at] is (byte)'"' or (byte)'\'')
                {
                    var quote = line[at++];
                    if (!TryUnquote(line, quote, ref at, own, ref length) || (at < line.Length && !IsBlank(line[at])))
                        return false;
                }
                else
                {
                    own[length++] = line[at++];
                }
            }

            arguments.Add(new(start, length - start));
        }
    }

    private static bool TryUnquote(ReadOnlySpan<byte> line, byte quote, ref int at, Span<byte> own, ref int length)
    {
        while (at < line.Length)
        {
            var next = line[at++];
            if (next == quote)
                return true;
            if (next == '\\' && at < line.Length && (quote == '"' || line[at] == '\''))
                next = Unescape(line, quote, ref at);
            own[length++] = next;
        }

        return false;
    }

    private static byte Unescape(ReadOnlySpan<byte> line, byte quote, ref int at)
    {
        var escape = line[at++];
        if (quote == '\'')
            return escape;
        if (escape == 'x' && at + 2 <= line.Length &&
            byte.TryParse(line.Slice(at, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value))
        {
            at += 2;
            return value;
        }

        return escape switch
        {
            (byte)'n' => (byte)'\n',
            (byte)'r' => (byte)'\r',
            (byte)'t' => (byte)'\t',
            (byte)'b' => (byte)'\b',
            (byte)'a' => (byte)'\a',
            _ => escape,
        };
    }

    private static bool IsBlank(byte character) => character is (byte)' ' or (>= 9 and <= 13) or 0;
}
