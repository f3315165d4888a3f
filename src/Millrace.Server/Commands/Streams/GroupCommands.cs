using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>Consumer groups: the table, what its commands share, XACK and XACKDEL.</summary>
internal static partial class GroupCommands
{
    private const CommandFlags Writes = CommandFlags.Write;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("xack", -4, Writes | CommandFlags.Fast, 1, 1, 1, "stream", Acknowledge) { Group = "stream", Since = "5.0.0" },
        new("xackdel", -6, Writes | CommandFlags.Fast, 1, 1, 1, "stream", AcknowledgeAndDelete)
        {
            Group = "stream", Since = "8.2.0", Summary = "Acknowledges messages of a group and removes them from the stream.",
        },
        new("xautoclaim", -6, Writes | CommandFlags.Fast, 1, 1, 1, "stream", AutoClaim) { Group = "stream", Since = "6.2.0" },
        new("xclaim", -6, Writes | CommandFlags.Fast, 1, 1, 1, "stream", Claim) { Group = "stream", Since = "5.0.0" },
        new("xgroup", -2, CommandFlags.None, 0, 0, 0, "", NoSubcommand, Subcommands) { Group = "stream", Since = "5.0.0" },
        new("xnack", -7, Writes | CommandFlags.Fast, 1, 1, 1, "stream", Nack)
        {
            Group = "stream", Since = "8.8.0", Summary = "Hands messages back to their group, to be claimed at once.",
        },
        new("xpending", -3, CommandFlags.ReadOnly, 1, 1, 1, "stream", Pending) { Group = "stream", Since = "5.0.0" },
        new(
            "xreadgroup",
            -7,
            Writes | CommandFlags.Blocking | CommandFlags.MovableKeys,
            0,
            0,
            0,
            "stream",
            ReadGroup,
            FindKeys: FindStreams) { Group = "stream", Since = "5.0.0", KeyRights = KeyRights.Read },
    ];

    /// <summary>A group without a key or name: the tail says which command looked.</summary>
    private static string NoGroup(string key, string group, string tail = "") =>
        $"NOGROUP No such key '{Errors.Quote(key)}' or consumer group '{Errors.Quote(group)}'{tail}";

    /// <summary>The stream and the group of two arguments; otherwise the error is written.</summary>
    private static bool TryGroup(ref CommandCall call, int keyAt, out StreamValue stream, out ConsumerGroup group)
    {
        group = null!;
        if (!call.TryFind(keyAt, out stream!))
            return false;
        if (stream?.FindGroup(call.Text(keyAt + 1)) is { } found)
        {
            group = found;
            return true;
        }

        call.Error(NoGroup(call.Text(keyAt), call.Text(keyAt + 1)));
        return false;
    }

    private static void Acknowledge(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(1, out var stream))
            return;
        if (stream?.FindGroup(call.Text(2)) is not { } group)
        {
            call.Reply.WriteInteger(0);
            return;
        }

        if (call.TryIds(3, call.Count, out var ids))
            call.Reply.WriteInteger(call.Apply<Ack, long>(new(stream.Name, group.Name, ids)));
    }

    private static void AcknowledgeAndDelete(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(1, out var stream) || !ReferenceArguments.TryRead(call, 3, out var arguments))
            return;
        if (stream?.FindGroup(call.Text(2)) is not { } group)
            arguments.WriteAllMissing(call);
        else if (call.TryIds(arguments.FirstId, arguments.FirstId + arguments.IdCount, out var ids))
            ReferenceArguments.WriteOutcomes(
                call, call.Apply<AckAndDelete, DeleteOutcome[]>(new(stream.Name, group.Name, ids, arguments.Policy)));
    }
}
