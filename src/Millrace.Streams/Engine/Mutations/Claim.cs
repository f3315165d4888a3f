using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Takes pending entries over for a consumer, which is made when it is new. Pending entries whose entry was deleted are dropped and
/// reported.
/// </summary>
/// <remarks><code>stream text | group text | consumer text | least idle ms | count | count × ID</code></remarks>
internal readonly record struct Claim(string Stream, string Group, string Consumer, long MinIdleMs, IReadOnlyList<EntryId> Ids)
    : IMutation<ClaimResult>
{
    public MutationKind Kind => MutationKind.Claim;

    public bool Apply(StreamEngine engine, long nowMs, out ClaimResult result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        var consumer = group.GetOrAddConsumer(Consumer, nowMs, out var isNew);
        var claimed = new List<DeliveredEntry>();
        var deleted = new List<EntryId>();
        for (var i = 0; i < Ids.Count; i++)
        {
            var id = Ids[i];
            if (!group.Pending.TryGet(id, out var pending) || !pending.IsIdle(nowMs, MinIdleMs))
                continue;
            if (stream.Entries.TryGet(id, out var fields))
            {
                claimed.Add(new(id, fields, group.Claim(id, consumer, nowMs)));
            }
            else
            {
                group.Ack(id);
                deleted.Add(id);
            }
        }

        result = new(claimed, deleted);
        return isNew || claimed.Count > 0 || deleted.Count > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
        writer.Number(MinIdleMs);
        writer.Ids(Ids);
    }

    public static Claim Read(ref RecordReader reader) =>
        new(reader.Text(), reader.Text(), reader.Text(), reader.PositiveNumber(), reader.Ids());
}
