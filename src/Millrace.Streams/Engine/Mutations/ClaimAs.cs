using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// XCLAIM: takes pending entries over for a consumer, which is made when it is new, with a time and count of delivery to show for it. Pending
/// entries whose entry was deleted are dropped. The result is the IDs claimed.
/// </summary>
/// <param name="Stream">The stream.</param>
/// <param name="Group">The group.</param>
/// <param name="Consumer">Who claims.</param>
/// <param name="MinIdleMs">The least idle time.</param>
/// <param name="DeliveredMs">The time of delivery they have then, in Unix milliseconds.</param>
/// <param name="DeliveryCount">The count of deliveries they have then; null: one more than before, or the same for IDs alone.</param>
/// <param name="Force">Whether entries that are not pending become so.</param>
/// <param name="JustIds">Whether the claim is for IDs alone, which is no delivery.</param>
/// <param name="LastId">The group's last delivered ID becomes this if it is larger.</param>
/// <param name="Ids">The entries.</param>
/// <remarks>
/// <code>
/// stream text | group text | consumer text | least idle ms | delivered ms | delivery count + 1, or 0 | force flag | just IDs flag |
/// last ID | count | count × ID
/// </code>
/// </remarks>
internal readonly record struct ClaimAs(
    string Stream,
    string Group,
    string Consumer,
    long MinIdleMs,
    long DeliveredMs,
    long? DeliveryCount,
    bool Force,
    bool JustIds,
    EntryId LastId,
    IReadOnlyList<EntryId> Ids) : IMutation<EntryId[]>
{
    public MutationKind Kind => MutationKind.ClaimAs;

    public bool Apply(StreamEngine engine, long nowMs, out EntryId[] result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        var consumer = group.GetOrAddConsumer(Consumer, nowMs, out var changed);
        if (LastId > group.LastDeliveredId)
        {
            group.LastDeliveredId = LastId;
            changed = true;
        }

        var claimed = new List<EntryId>();
        foreach (var id in Ids)
        {
            if (!stream.Entries.Contains(id))
            {
                changed |= group.Ack(id);
                continue;
            }

            var isPending = group.Pending.TryGet(id, out var pending);
            if (isPending ? !pending.IsIdle(nowMs, MinIdleMs) : !Force)
                continue;

            // What was not pending counts as delivered once already, as in Redis.
            var before = isPending ? pending.DeliveryCount : 1;
            group.Claim(id, consumer, nowMs, DeliveredMs, DeliveryCount ?? (JustIds ? before : Saturating.Increment(before)));
            claimed.Add(id);
        }

        if (claimed.Count > 0 && (Force || DeliveredMs < nowMs))
            engine.SignalPending(Stream);
        result = [.. claimed];
        return changed || claimed.Count > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
        writer.Number(MinIdleMs);
        writer.Number(DeliveredMs);
        writer.OptionalNumber(DeliveryCount);
        writer.Flag(Force);
        writer.Flag(JustIds);
        writer.Id(LastId);
        writer.Ids(Ids);
    }

    public static ClaimAs Read(ref RecordReader reader) => new(
        reader.Text(),
        reader.Text(),
        reader.Text(),
        reader.PositiveNumber(),
        reader.PositiveNumber(),
        reader.OptionalNumber(),
        reader.Flag(),
        reader.Flag(),
        reader.Id(),
        reader.Ids());
}
