using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>What <see cref="AutoClaim"/> did.</summary>
/// <param name="Next">The pending entry to go on with, or 0-0 at the end.</param>
/// <param name="Claimed">The entries claimed.</param>
/// <param name="Deleted">Entries that were deleted, and so dropped from the pending ones.</param>
internal readonly record struct AutoClaimed(EntryId Next, IReadOnlyList<EntryId> Claimed, IReadOnlyList<EntryId> Deleted);

/// <summary>
/// XAUTOCLAIM: walks the pending entries from an ID on and takes over those idle long enough for a consumer, which is made when it is new.
/// Looks at ten times the count at most. Deleted ones are dropped and use up the count.
/// </summary>
/// <remarks><code>stream text | group text | consumer text | least idle ms | start ID | count | just IDs flag</code></remarks>
internal readonly record struct AutoClaim(
    string Stream, string Group, string Consumer, long MinIdleMs, EntryId Start, long Count, bool JustIds) : IMutation<AutoClaimed>
{
    /// <summary>Entries looked at for each one wanted.</summary>
    private const int LooksPerEntry = 10;

    public MutationKind Kind => MutationKind.AutoClaim;

    public bool Apply(StreamEngine engine, long nowMs, out AutoClaimed result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        var consumer = group.GetOrAddConsumer(Consumer, nowMs, out var isNew);
        List<EntryId> claimed = [], deleted = [];
        var next = EntryId.Zero;
        var (left, looks) = (Count, 0L);
        foreach (var (id, pending) in group.Pending.From(Start, EntryId.Max))
        {
            if (left == 0 || looks++ / LooksPerEntry >= Count)
            {
                next = id;
                break;
            }

            if (!stream.Entries.Contains(id))
            {
                deleted.Add(id);
                left--;
            }
            else if (pending.IsIdle(nowMs, MinIdleMs))
            {
                var count = JustIds ? pending.DeliveryCount : Saturating.Increment(pending.DeliveryCount);
                group.Claim(id, consumer, nowMs, nowMs, count);
                claimed.Add(id);
                left--;
            }
        }

        // After the walk: none may leave during it.
        foreach (var id in deleted)
            group.Ack(id);
        result = new(next, claimed, deleted);
        return isNew || claimed.Count > 0 || deleted.Count > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
        writer.Number(MinIdleMs);
        writer.Id(Start);
        writer.Number(Count);
        writer.Flag(JustIds);
    }

    public static AutoClaim Read(ref RecordReader reader) => new(
        reader.Text(), reader.Text(), reader.Text(), reader.PositiveNumber(), reader.Id(), reader.PositiveNumber(), reader.Flag());
}
