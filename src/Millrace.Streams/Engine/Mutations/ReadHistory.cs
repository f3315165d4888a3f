using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Shows a consumer, which is made when it is new, what it holds already. Each entry that still exists counts as delivered once more, now. The
/// result is the IDs, also of entries that were deleted meanwhile.
/// </summary>
/// <remarks><code>stream text | group text | consumer text | after ID | count</code></remarks>
internal readonly record struct ReadHistory(string Stream, string Group, string Consumer, EntryId After, int Count) : IMutation<EntryId[]>
{
    public MutationKind Kind => MutationKind.ReadHistory;

    public bool Apply(StreamEngine engine, long nowMs, out EntryId[] result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        var consumer = group.GetOrAddConsumer(Consumer, nowMs, out var changed);
        result = [];
        if (After == EntryId.Max)
            return changed;

        var ids = new List<EntryId>();
        foreach (var (id, pending) in group.Pending.HeldBy(consumer, After.Next(), EntryId.Max))
        {
            if (ids.Count == Count)
                break;
            ids.Add(id);
            if (!stream.Entries.Contains(id))
                continue;
            group.Pending.Set(id, new(consumer, nowMs, Saturating.Increment(pending.DeliveryCount)));
            changed = true;
        }

        result = [.. ids];
        return changed;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
        writer.Id(After);
        writer.Number(Count);
    }

    public static ReadHistory Read(ref RecordReader reader) =>
        new(reader.Text(), reader.Text(), reader.Text(), reader.Id(), (int)Math.Min(reader.Number(), int.MaxValue));
}
