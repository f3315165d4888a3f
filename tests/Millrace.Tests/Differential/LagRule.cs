using System.Globalization;

namespace Millrace.Tests.Differential;

/// <summary>The lag of a group, worked out anew from the figures XINFO STREAM FULL shows, by the rules of Redis 8.</summary>
internal static class LagRule
{
    private static readonly (ulong, ulong) Zero = (0, 0);

    /// <summary>Whether the lag shown for <paramref name="group"/> follows from what is shown of the stream; -1 in the rule means unknown.</summary>
    public static bool Holds(RespNode stream, RespNode group)
    {
        var shown = group.Find("lag");
        var expected = Of(stream, group);
        if (expected is null)
            return shown is { Prefix: not (byte)':' };

        // XSETID can bring entries-added to the end of 64 bits, where both servers wrap around.
        return shown?.Text == unchecked((long)expected.Value).ToString(CultureInfo.InvariantCulture);
    }

    private static Int128? Of(RespNode stream, RespNode group)
    {
        var length = Number(stream, "length");
        var added = Number(stream, "entries-added");
        var first = length == 0 ? Zero : Id(stream, "recorded-first-entry-id");
        var deleted = Id(stream, "max-deleted-entry-id");
        var position = Id(group, "last-delivered-id");
        if (added == 0 || length == 0)
            return 0;
        if (position.CompareTo(first) < 0 && deleted.CompareTo(first) < 0)
            return length;

        var isTombstoneAhead = deleted != Zero && position.CompareTo(deleted) <= 0;
        if (group.Find("entries-read") is { Prefix: (byte)':' } read && !isTombstoneAhead)
            return added - Int128.Parse(read.Text, CultureInfo.InvariantCulture);
        return added - PositionOf(position, Id(stream, "last-generated-id"), first, deleted, length, added);
    }

    // How many entries were ever added up to an ID; null when that cannot be known.
    private static Int128? PositionOf(
        (ulong, ulong) id, (ulong, ulong) last, (ulong, ulong) first, (ulong, ulong) deleted, Int128 length, Int128 added)
    {
        if (id != Zero && id.CompareTo(deleted) < 0)
            return null;
        if (id == last)
            return added;
        if (id.CompareTo(last) > 0)
            return null;
        if (deleted != Zero && deleted.CompareTo(first) >= 0)
            return null;
        return id.CompareTo(first) switch
        {
            < 0 => added - length,
            0 => added - length + 1,
            _ => null,
        };
    }

    private static Int128 Number(RespNode map, string name) => Int128.Parse(map.Find(name)!.Text, CultureInfo.InvariantCulture);

    private static (ulong, ulong) Id(RespNode map, string name)
    {
        var parts = map.Find(name)!.Text.Split('-');
        return (ulong.Parse(parts[0], CultureInfo.InvariantCulture), ulong.Parse(parts[1], CultureInfo.InvariantCulture));
    }
}
