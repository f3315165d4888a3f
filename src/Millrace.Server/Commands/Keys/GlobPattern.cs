namespace Millrace.Server.Commands.Keys;

/// <summary>
/// Patterns as Redis has them, over bytes: <c>*</c>, <c>?</c>, <c>[abc]</c>, <c>[a-z]</c>, <c>[^a]</c>, and <c>\</c> before a byte that means
/// itself. A class that is not closed ends with the pattern.
/// </summary>
internal static class GlobPattern
{
    /// <summary>Whether the whole text matches. Takes time of at most pattern times text: only the last star is tried again.</summary>
    public static bool IsMatch(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text)
    {
        var (at, from) = (0, 0);
        var (star, starFrom) = (-1, 0);
        while (from < text.Length)
        {
            if (at < pattern.Length && pattern[at] == '*')
            {
                (star, starFrom) = (at++, from);
            }
            else if (at < pattern.Length && MatchesOne(pattern, ref at, text[from]))
            {
                from++;
            }
            else if (star >= 0)
            {
                at = star + 1;
                from = ++starFrom;
            }
            else
            {
                return false;
            }
        }

        return pattern[at..].IndexOfAnyExcept((byte)'*') < 0;
    }

    /// <summary>Matches a byte with the piece of the pattern at <paramref name="at"/>, and moves behind the piece.</summary>
    private static bool MatchesOne(ReadOnlySpan<byte> pattern, ref int at, byte value)
    {
        var piece = pattern[at++];
        if (piece == '?')
            return true;
        if (piece == '[')
            return MatchesClass(pattern, ref at, value);
        if (piece == '\\' && at < pattern.Length)
            piece = pattern[at++];
        return piece == value;
    }

    private static bool MatchesClass(ReadOnlySpan<byte> pattern, ref int at, byte value)
    {
        var isNegated = at < pattern.Length && pattern[at] == '^';
        if (isNegated)
            at++;
        var isMatch = false;
        while (at < pattern.Length && pattern[at] != ']')
        {
            if (pattern[at] == '\\' && at + 1 < pattern.Length)
            {
                isMatch |= pattern[at + 1] == value;
                at += 2;
            }
            else if (at + 2 < pattern.Length && pattern[at + 1] == '-')
            {
                var (low, high) = (Math.Min(pattern[at], pattern[at + 2]), Math.Max(pattern[at], pattern[at + 2]));
                isMatch |= low <= value && value <= high;
                at += 3;
            }
            else
            {
                isMatch |= pattern[at++] == value;
            }
        }

        at = Math.Min(at + 1, pattern.Length);
        return isMatch != isNegated;
    }
}
