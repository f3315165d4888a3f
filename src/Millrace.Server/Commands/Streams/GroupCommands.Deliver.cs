using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>What XREADGROUP does to the groups, and its reply.</summary>
internal static partial class GroupCommands
{
    /// <summary>A pending entry that was claimed, with its idle time and how often it was delivered before.</summary>
    private readonly record struct ClaimedEntry(EntryId Id, long IdleMs, long DeliveryCount);

    /// <summary>What a reader gets of one stream: its own pending entries, or those it claimed and then new ones.</summary>
    private readonly record struct Delivery(EntryId[]? History, ClaimedEntry[]? Claimed, DeliveredRange New)
    {
        /// <summary>A history always does, also an empty one.</summary>
        public bool HasAnswer => History is not null || Claimed is { Length: > 0 } || New.Count > 0;
    }

    /// <summary>Delivers and writes the reply, or returns false when there is nothing to say. The groups exist.</summary>
    private static bool TryDeliver(ref CommandCall call, GroupRequest request)
    {
        var deliveries = new Delivery[request.Keys.Length];
        var budget = request.Limits.Begin();
        var answers = 0;
        for (var i = 0; i < deliveries.Length && !budget.IsUsedUp; i++)
        {
            budget.BeginStream(request.Keys[i]);
            deliveries[i] = Deliver(ref call, request, i, ref budget);
            answers += deliveries[i].HasAnswer ? 1 : 0;
        }

        if (answers == 0)
            return false;
        if (call.IsResp3)
            call.Reply.WriteMap(answers);
        else
            call.Reply.WriteArray(answers);
        for (var i = 0; i < deliveries.Length; i++)
        {
            if (!deliveries[i].HasAnswer)
                continue;
            if (!call.IsResp3)
                call.Reply.WriteArray(2);
            call.WriteText(request.Keys[i]);
            WriteDelivery(ref call, call.Engine.FindStream(request.Keys[i])!, deliveries[i], request.MinIdleMs is not null);
        }

        return true;
    }

    private static Delivery Deliver(ref CommandCall call, GroupRequest request, int index, ref ReadBudget budget)
    {
        var group = call.Engine.GetGroup(request.Keys[index], request.Group, out var stream);
        var count = request.Limits.Count;
        if (request.After[index] is { } after)
        {
            count = CountHistory(stream, group, request.Consumer, after, count, ref budget);
            return new(call.Apply<ReadHistory, EntryId[]>(new(stream.Name, group.Name, request.Consumer, after, count)), null, default);
        }

        ClaimedEntry[] claimed = [];
        if (request.MinIdleMs is { } minIdleMs)
            claimed = ClaimIdle(ref call, request, stream, group, minIdleMs, ref budget);
        count -= claimed.Length;
        if (stream.HasNewFor(group))
        {
            var extraBytes = request.MinIdleMs is null ? 0 : 2 * EntryReplies.SizeOfNumber(0);
            count = budget.Take(stream.Entries, group.LastDeliveredId.Next(), count, (int)extraBytes);
        }

        // Also with nothing to deliver: the consumer is made, and was seen.
        return new(null, claimed, call.Apply<ReadGroup, DeliveredRange>(new(stream.Name, group.Name, request.Consumer, count, request.NoAck)));
    }

    /// <summary>How many of a consumer's pending entries may be answered. Without limits just <paramref name="count"/>.</summary>
    private static int CountHistory(StreamValue stream, ConsumerGroup group, string consumer, EntryId after, int count, ref ReadBudget budget)
    {
        if (!budget.IsLimited)
            return count;
        var taken = 0;
        if (after == EntryId.Max || group.FindConsumer(consumer) is not { } owner)
            return taken;
        foreach (var (id, _) in group.Pending.HeldBy(owner, after.Next(), EntryId.Max))
        {
            if (taken == count || budget.IsUsedUp)
                break;
            budget.Take(stream.Entries.TryFind(id, out var entry) ? EntryReplies.SizeOf(in entry) : EntryReplies.SizeOf(id));
            taken++;
        }

        return taken;
    }

    /// <summary>Takes over what is pending for long enough, whoever holds it, longest idle first. Deleted entries stay as they are.</summary>
    private static ClaimedEntry[] ClaimIdle(
        ref CommandCall call, GroupRequest request, StreamValue stream, ConsumerGroup group, long minIdleMs, ref ReadBudget budget)
    {
        var count = Math.Min(request.Limits.Count, budget.EntriesLeft);
        var ids = group.Pending.LongestIdle(call.NowMs, minIdleMs, count, stream.Entries.Contains);
        var claimed = new List<ClaimedEntry>(ids.Length);
        foreach (var id in ids)
        {
            if (budget.IsUsedUp)
                break;
            group.Pending.TryGet(id, out var pending);
            var entry = new ClaimedEntry(id, pending.IdleMs(call.NowMs), pending.DeliveryCount);
            if (budget.IsLimited && stream.Entries.TryFind(id, out var view))
                budget.Take(EntryReplies.SizeOf(in view) + EntryReplies.SizeOfNumber(entry.IdleMs) + EntryReplies.SizeOfNumber(entry.DeliveryCount));
            claimed.Add(entry);
        }

        if (claimed.Count > 0)
        {
            call.Apply<ClaimAs, EntryId[]>(new(
                stream.Name,
                group.Name,
                request.Consumer,
                minIdleMs,
                call.NowMs,
                DeliveryCount: null,
                Force: false,
                JustIds: false,
                EntryId.Zero,
                [.. claimed.Select(static entry => entry.Id)]));
        }

        return [.. claimed];
    }

    /// <summary>When to look again whether something became idle enough, in Unix milliseconds; null: the reader does not claim.</summary>
    private static long? FindNextClaim(in CommandCall call, GroupRequest request)
    {
        if (request.MinIdleMs is not { } minIdleMs)
            return null;
        var next = long.MaxValue;
        foreach (var key in request.Keys)
            next = Math.Min(next, call.Engine.GetGroup(key, request.Group, out _).Pending.NextIdleMs(call.NowMs, minIdleMs));
        return next;
    }

    private static void WriteDelivery(ref CommandCall call, StreamValue stream, in Delivery delivery, bool withDeliveries)
    {
        if (delivery.History is { } history)
        {
            WriteHistory(ref call, stream, history);
            return;
        }

        call.Reply.WriteArray(delivery.Claimed!.Length + delivery.New.Count);
        foreach (var claimed in delivery.Claimed)
        {
            stream.Entries.TryFind(claimed.Id, out var entry);
            call.Reply.WriteArray(4);
            call.WriteId(claimed.Id);
            call.WriteFields(entry);
            call.Reply.WriteInteger(claimed.IdleMs);
            call.Reply.WriteInteger(claimed.DeliveryCount);
        }

        var range = stream.Entries.From(delivery.New.First, EntryId.Max);
        for (var i = 0; i < delivery.New.Count && range.MoveNext(); i++)
        {
            call.Reply.WriteArray(withDeliveries ? 4 : 2);
            call.WriteId(range.Current.Id);
            call.WriteFields(in range.Current);
            if (!withDeliveries)
                continue;
            call.Reply.WriteInteger(0);
            call.Reply.WriteInteger(0);
        }
    }

    private static void WriteHistory(ref CommandCall call, StreamValue stream, EntryId[] ids)
    {
        call.Reply.WriteArray(ids.Length);
        foreach (var id in ids)
        {
            if (stream.Entries.TryFind(id, out var entry))
            {
                call.WriteEntry(in entry);
                continue;
            }

            call.Reply.WriteArray(2);
            call.WriteId(id);
            call.Reply.WriteNullArray();
        }
    }
}
