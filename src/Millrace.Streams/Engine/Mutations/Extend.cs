using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Sets the idle time of entries to zero where the consumer still holds that very delivery. The result is the IDs extended.
/// </summary>
/// <remarks><code>stream text | group text | consumer text | count | count × (ID | delivery count)</code></remarks>
internal readonly record struct Extend(string Stream, string Group, string Consumer, IReadOnlyList<HeldEntry> Held)
    : IMutation<IReadOnlyList<EntryId>>
{
    public MutationKind Kind => MutationKind.Extend;

    public bool Apply(StreamEngine engine, long nowMs, out IReadOnlyList<EntryId> result)
    {
        result = [];
        if (engine.FindGroup(Stream, Group, out _) is not { } group)
            return false;

        var extended = new List<EntryId>(Held.Count);
        for (var i = 0; i < Held.Count; i++)
        {
            if (group.Extend(Consumer, Held[i], nowMs))
                extended.Add(Held[i].Id);
        }

        result = extended;
        return extended.Count > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
        writer.Number(Held.Count);
        for (var i = 0; i < Held.Count; i++)
        {
            writer.Id(Held[i].Id);
            writer.Number((ulong)Held[i].DeliveryCount);
        }
    }

    public static Extend Read(ref RecordReader reader)
    {
        var (stream, group, consumer) = (reader.Text(), reader.Text(), reader.Text());
        var held = new HeldEntry[reader.Count()];
        for (var i = 0; i < held.Length; i++)
            held[i] = new(reader.Id(), (long)reader.Number());
        return new(stream, group, consumer, held);
    }
}
