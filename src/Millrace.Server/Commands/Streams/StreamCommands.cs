using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Streams;

/// <summary>The commands on the entries of streams.</summary>
internal static partial class StreamCommands
{
    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("xadd", -5, CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast, 1, 1, 1, "stream", Add)
        {
            Group = "stream", Since = "5.0.0", Summary = "Appends a new message to a stream. Creates the key if it does not exist.",
        },
        new("xcfgset", -2, CommandFlags.Write | CommandFlags.Fast, 1, 1, 1, "stream", Configure)
        {
            Group = "stream", Since = "8.6.0", Summary = "Sets what a stream remembers of idempotent messages.",
        },
        new("xdel", -3, CommandFlags.Write | CommandFlags.Fast, 1, 1, 1, "stream", Delete)
        {
            Group = "stream", Since = "5.0.0", Summary = "Removes messages from a stream and returns their number.",
        },
        new("xdelex", -5, CommandFlags.Write | CommandFlags.Fast, 1, 1, 1, "stream", DeleteReferenced)
        {
            Group = "stream", Since = "8.2.0", Summary = "Removes messages from a stream with regard to the groups that refer to them.",
        },
        new("xidmprecord", 5, CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast, 1, 1, 1, "stream", RecordProduced)
        {
            Group = "stream", Since = "8.6.2", Summary = "An internal command that records which entry an idempotent message became.",
        },
        new("xlen", 2, CommandFlags.ReadOnly | CommandFlags.Fast, 1, 1, 1, "stream", Length)
        {
            Group = "stream", Since = "5.0.0", Summary = "Returns the number of messages in a stream.", KeyRights = KeyRights.None,
        },
        new("xrange", -4, CommandFlags.ReadOnly, 1, 1, 1, "stream", static (ref CommandCall call) => Range(ref call, false))
        {
            Group = "stream", Since = "5.0.0", Summary = "Returns the messages from a stream within a range of IDs.",
        },
        new("xread", -4, CommandFlags.ReadOnly | CommandFlags.Blocking | CommandFlags.MovableKeys, 0, 0, 0, "stream", Read,
            FindKeys: FindReadKeys)
        {
            Group = "stream", Since = "5.0.0", Summary = "Returns messages from multiple streams after the IDs given. Waits for them on request.",
        },
        new("xrevrange", -4, CommandFlags.ReadOnly, 1, 1, 1, "stream", static (ref CommandCall call) => Range(ref call, true))
        {
            Group = "stream", Since = "5.0.0", Summary = "Returns the messages from a stream within a range of IDs in reverse order.",
        },
        new("xsetid", -3, CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast, 1, 1, 1, "stream", SetId)
        {
            Group = "stream", Since = "5.0.0", Summary = "Sets the counters of a stream.",
        },
        new("xtrim", -4, CommandFlags.Write, 1, 1, 1, "stream", Trim)
        {
            Group = "stream", Since = "5.0.0", Summary = "Deletes messages from the beginning of a stream.",
        },
    ];

    private static void Length(ref CommandCall call)
    {
        if (call.TryFind<StreamValue>(1, out var stream))
            call.Reply.WriteInteger(stream?.Entries.Count ?? 0);
    }

    /// <summary>XRANGE and XREVRANGE: bounds, then COUNT, then the key.</summary>
    private static void Range(ref CommandCall call, bool reversed)
    {
        var (startAt, endAt) = reversed ? (3, 2) : (2, 3);
        if (!call.TryStart(startAt, out var start) || !call.TryEnd(endAt, out var end))
            return;
        var limit = long.MaxValue;
        for (var i = 4; i < call.Count; i += 2)
        {
            if (i + 1 == call.Count || !call.Is(i, "COUNT"u8))
            {
                call.Error(Errors.Syntax);
                return;
            }

            if (!call.TryInteger(i + 1, out limit))
                return;
        }

        if (!call.TryFind<StreamValue>(1, out var stream))
            return;
        if (stream is null)
            call.Reply.WriteArray(0);
        else if (limit <= 0)
            call.Reply.WriteNullArray();
        else
            call.WriteEntries(stream.Entries, start, end, limit, reversed);
    }
}
