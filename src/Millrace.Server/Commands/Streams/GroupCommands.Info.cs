using Millrace.Streams.Engine;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Streams;

/// <summary>XINFO GROUPS and XINFO CONSUMERS.</summary>
internal static partial class GroupCommands
{
    public static CommandInfo GroupsInfo { get; } =
        new("groups", 3, CommandFlags.ReadOnly, 2, 2, 1, "stream", ShowGroups)
        {
            Since = "5.0.0", Summary = "Returns a list of the consumer groups of a stream.",
        };

    public static CommandInfo ConsumersInfo { get; } =
        new("consumers", 4, CommandFlags.ReadOnly, 2, 2, 1, "stream", ShowConsumers)
        {
            Since = "5.0.0", Summary = "Returns a list of the consumers in a consumer group.",
        };

    private static void ShowGroups(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(2, out var stream))
            return;
        if (stream is null)
        {
            call.Error(Errors.NoSuchKey);
            return;
        }

        call.Reply.WriteArray(stream.Groups.Count);
        foreach (var group in stream.Groups.OrderBy(static group => group.Name, KeyText.ByteComparer))
        {
            call.Reply.WriteMap(6);
            call.Reply.WriteBulk("name"u8);
            call.WriteText(group.Name);
            WriteNumber(ref call, "consumers"u8, group.Consumers.Count);
            WriteNumber(ref call, "pending"u8, group.Pending.Count);
            call.Reply.WriteBulk("last-delivered-id"u8);
            call.WriteId(group.LastDeliveredId);
            WriteNumber(ref call, "entries-read"u8, group.EntriesRead);
            WriteNumber(ref call, "lag"u8, stream.LagOf(group));
        }
    }

    private static void ShowConsumers(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(2, out var stream))
            return;
        if (stream is null)
        {
            call.Error(Errors.NoSuchKey);
            return;
        }

        if (stream.FindGroup(call.Text(3)) is not { } group)
        {
            call.Error($"NOGROUP No such consumer group '{call.Quote(3)}' for key name '{call.Quote(2)}'");
            return;
        }

        call.Reply.WriteArray(group.Consumers.Count);
        foreach (var consumer in group.Consumers.OrderBy(static consumer => consumer.Name, KeyText.ByteComparer))
        {
            call.Reply.WriteMap(4);
            call.Reply.WriteBulk("name"u8);
            call.WriteText(consumer.Name);
            WriteNumber(ref call, "pending"u8, consumer.HeldCount);
            WriteNumber(ref call, "idle"u8, Math.Max(0, call.NowMs - consumer.SeenMs));
            WriteNumber(ref call, "inactive"u8, consumer.ActiveMs < 0 ? -1 : Math.Max(0, call.NowMs - consumer.ActiveMs));
        }
    }

    private static void WriteNumber(ref CommandCall call, ReadOnlySpan<byte> name, long? value)
    {
        call.Reply.WriteBulk(name);
        if (value is { } known)
            call.Reply.WriteInteger(known);
        else
            call.Reply.WriteNull();
    }
}
