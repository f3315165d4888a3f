using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Streams;

/// <summary>XINFO STREAM FULL.</summary>
internal static partial class InfoCommands
{
    private static void WriteFull(in CommandCall call, StreamValue stream, long limit)
    {
        call.Reply.WriteBulk("entries"u8);
        call.WriteEntries(stream.Entries, EntryId.Zero, EntryId.Max, limit);
        call.Reply.WriteBulk("groups"u8);
        call.Reply.WriteArray(stream.Groups.Count);
        foreach (var group in stream.Groups.OrderBy(group => group.Name, KeyText.ByteComparer))
        {
            call.Reply.WriteMap(8);
            call.Reply.WriteBulk("name"u8);
            call.WriteText(group.Name);
            WriteId(call, "last-delivered-id"u8, group.LastDeliveredId);
            WriteNumber(call, "entries-read"u8, group.EntriesRead);
            WriteNumber(call, "lag"u8, stream.LagOf(group));
            WriteNumber(call, "pel-count"u8, group.Pending.Count);
            WriteNumber(call, "nacked-count"u8, group.NackedCount);
            WritePending(call, group, limit);
            call.Reply.WriteBulk("consumers"u8);
            call.Reply.WriteArray(group.Consumers.Count);
            foreach (var consumer in group.Consumers.OrderBy(consumer => consumer.Name, KeyText.ByteComparer))
                WriteConsumer(call, group, consumer, limit);
        }
    }

    /// <summary>The oldest pending entries of a group, each with its owner.</summary>
    private static void WritePending(in CommandCall call, ConsumerGroup group, long limit)
    {
        call.Reply.WriteBulk("pending"u8);
        var left = Math.Min(limit, group.Pending.Count);
        call.Reply.WriteArray((int)left);
        foreach (var (id, pending) in group.Pending)
        {
            if (left-- <= 0)
                break;
            call.Reply.WriteArray(4);
            call.WriteId(id);
            call.WriteText(pending.Owner?.Name ?? "");
            call.Reply.WriteInteger(pending.DeliveredMs);
            call.Reply.WriteInteger(pending.DeliveryCount);
        }
    }

    private static void WriteConsumer(in CommandCall call, ConsumerGroup group, Consumer consumer, long limit)
    {
        call.Reply.WriteMap(5);
        call.Reply.WriteBulk("name"u8);
        call.WriteText(consumer.Name);
        WriteNumber(call, "seen-time"u8, consumer.SeenMs);
        WriteNumber(call, "active-time"u8, consumer.ActiveMs);
        WriteNumber(call, "pel-count"u8, consumer.HeldCount);
        call.Reply.WriteBulk("pending"u8);
        var left = Math.Min(limit, consumer.HeldCount);
        call.Reply.WriteArray((int)left);
        foreach (var (id, pending) in group.Pending.HeldBy(consumer, EntryId.Zero, EntryId.Max))
        {
            if (left-- <= 0)
                break;
            call.Reply.WriteArray(3);
            call.WriteId(id);
            call.Reply.WriteInteger(pending.DeliveredMs);
            call.Reply.WriteInteger(pending.DeliveryCount);
        }
    }
}
