using System.Buffers.Text;
using Millrace.Streams;

namespace Millrace.Server.Commands.Streams;

/// <summary>Entry IDs as arguments. Helpers named <c>Try…</c> on a call write the error reply themselves when they return false.</summary>
internal static class IdArguments
{
    public const string Invalid = "ERR Invalid stream ID specified as stream command argument";

    /// <summary>An exact ID: <c>ms-seq</c>, or <c>ms</c> alone.</summary>
    public static bool TryId(this in CommandCall call, int index, out EntryId id, ulong missingSequence = 0)
    {
        if (TryParse(call[index], missingSequence, out id))
            return true;
        call.Error(Invalid);
        return false;
    }

    /// <summary>The IDs from one argument to another, the last not included.</summary>
    public static bool TryIds(this in CommandCall call, int first, int end, out EntryId[] ids)
    {
        ids = new EntryId[end - first];
        for (var i = 0; i < ids.Length; i++)
        {
            if (!call.TryId(first + i, out ids[i]))
                return false;
        }

        return true;
    }

    /// <summary>Where a range begins, included: an ID, <c>-</c>, <c>+</c>, or <c>(id</c> for what comes after it.</summary>
    public static bool TryStart(this in CommandCall call, int index, out EntryId start)
    {
        if (!call.TryBound(index, 0, out start, out var isExclusive))
            return false;
        if (!isExclusive)
            return true;
        if (start == EntryId.Max)
        {
            call.Error("ERR invalid start ID for the interval");
            return false;
        }

        start = start.Next();
        return true;
    }

    /// <summary>Where a range ends, included: an ID, <c>-</c>, <c>+</c>, or <c>(id</c> for what comes before it.</summary>
    public static bool TryEnd(this in CommandCall call, int index, out EntryId end)
    {
        if (!call.TryBound(index, ulong.MaxValue, out end, out var isExclusive))
            return false;
        if (!isExclusive)
            return true;
        if (end == EntryId.Zero)
        {
            call.Error("ERR invalid end ID for the interval");
            return false;
        }

        end = end.Previous();
        return true;
    }

    /// <summary>
    /// Parses <c>ms-seq</c>, or <c>ms</c> alone with the sequence that is meant then. Leading zeros are dropped. A NUL ends the text, as in Redis.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> text, ulong missingSequence, out EntryId id)
    {
        id = default;
        if (text.Length > 127)
            return false;
        if (text.IndexOf((byte)0) is >= 0 and var end)
            text = text[..end];
        var dash = text.IndexOf((byte)'-');
        var sequence = missingSequence;
        if (!TryParseNumber(dash < 0 ? text : text[..dash], out var milliseconds) || (dash >= 0 && !TryParseNumber(text[(dash + 1)..], out sequence)))
            return false;
        id = new(milliseconds, sequence);
        return true;
    }

    /// <summary>Half of an ID: digits, usually.</summary>
    public static bool TryParseNumber(ReadOnlySpan<byte> text, out ulong value)
    {
        value = 0;
        if (text.IsEmpty)
            return false;
        return (uint)(text[0] - '0') <= 9
            ? Utf8Parser.TryParse(text, out value, out var used) && used == text.Length
            : TryParseSigned(text, out value);
    }

    /// <summary>
    /// What Redis takes, too, because the C library does: blanks and a sign in front. A minus counts down from 2^64, but <c>-1</c> in its
    /// canonical form is refused.
    /// </summary>
    private static bool TryParseSigned(ReadOnlySpan<byte> text, out ulong value)
    {
        value = 0;
        var digits = text.TrimStart(" \t\n\v\f\r"u8);
        var isNegative = digits.StartsWith("-"u8);
        if (isNegative || digits.StartsWith("+"u8))
            digits = digits[1..];
        if (digits.IsEmpty || (uint)(digits[0] - '0') > 9 || Numbers.TryParseInt64(text, out _) ||
            !Utf8Parser.TryParse(digits, out value, out var used) || used < digits.Length)
            return false;
        value = isNegative ? 0 - value : value;
        return true;
    }

    private static bool TryBound(this in CommandCall call, int index, ulong missingSequence, out EntryId id, out bool isExclusive)
    {
        var text = call[index];
        isExclusive = text.Length > 1 && text[0] == '(';
        if (text is [(byte)'-'] or [(byte)'+'])
        {
            id = text[0] == '-' ? EntryId.Zero : EntryId.Max;
            return true;
        }

        if (TryParse(isExclusive ? text[1..] : text, missingSequence, out id))
            return true;
        call.Error(Invalid);
        return false;
    }
}
