using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Streams;

/// <summary>XPENDING: a summary, or the entries of a range.</summary>
internal static partial class GroupCommands
{
    private static void Pending(ref CommandCall call)
    {
        if (call.Count == 3)
        {
            if (TryGroup(ref call, 1, out _, out var group))
                WriteSummary(ref call, group);
            return;
        }

        if (call.Count is < 6 or > 9)
        {
            call.Error(Errors.Syntax);
            return;
        }

        long minIdleMs = 0;
        var startAt = 3;
        if (call.Is(3, "idle"u8))
        {
            if (!call.TryInteger(4, out minIdleMs))
                return;
            if (call.Count < 8)
            {
                call.Error(Errors.Syntax);
                return;
            }

            startAt = 5;
        }

        if (call.TryInteger(startAt + 2, out var count) && call.TryStart(startAt, out var start) &&
            call.TryEnd(startAt + 1, out var end) && TryGroup(ref call, 1, out _, out var found))
            WritePending(ref call, found, minIdleMs, start, end, count, consumerAt: startAt + 3);
    }

    private static void WriteSummary(ref CommandCall call, ConsumerGroup group)
    {
        var pending = group.Pending;
        call.Reply.WriteArray(4);
        call.Reply.WriteInteger(pending.Count);
        if (pending.Count == 0)
        {
            call.Reply.WriteNull();
            call.Reply.WriteNull();
            call.Reply.WriteNullArray();
            return;
        }

        call.WriteId(pending.FirstId);
        call.WriteId(pending.LastId);
        var holders = group.Consumers.Where(static consumer => consumer.HeldCount > 0)
            .OrderBy(static consumer => consumer.Name, KeyText.ByteComparer).ToArray();
        call.Reply.WriteArray(holders.Length);
        foreach (var consumer in holders)
        {
            call.Reply.WriteArray(2);
            call.WriteText(consumer.Name);
            call.Reply.WriteBulk(consumer.HeldCount);
        }
    }

    private static void WritePending(
        ref CommandCall call, ConsumerGroup group, long minIdleMs, EntryId start, EntryId end, long count, int consumerAt)
    {
        var consumer = consumerAt < call.Count ? group.FindConsumer(call.Text(consumerAt)) : null;
        var found = new List<KeyValuePair<EntryId, Millrace.Streams.Engine.Pending>>();
        if (count > 0 && (consumer is not null || consumerAt >= call.Count))
        {
            foreach (var item in consumer is null ? group.Pending.From(start, end) : group.Pending.HeldBy(consumer, start, end))
            {
                if (item.Value.IsIdle(call.NowMs, minIdleMs))
                    found.Add(item);
                if (found.Count == count)
                    break;
            }
        }

        call.Reply.WriteArray(found.Count);
        foreach (var (id, pending) in found)
        {
            call.Reply.WriteArray(4);
            call.WriteId(id);
            call.WriteText(pending.Owner?.Name ?? "");
            call.Reply.WriteInteger(pending.Owner is null ? -1 : pending.IdleMs(call.NowMs));
            call.Reply.WriteInteger(pending.DeliveryCount);
        }
    }
}
