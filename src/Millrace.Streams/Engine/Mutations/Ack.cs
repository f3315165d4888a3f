using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Takes entries out of the pending entries, whoever holds them. The result is how many were pending.</summary>
/// <remarks><code>stream text | group text | count | count × ID</code></remarks>
internal readonly record struct Ack(string Stream, string Group, IReadOnlyList<EntryId> Ids) : IMutation<long>
{
    public MutationKind Kind => MutationKind.Ack;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        result = 0;
        if (engine.FindGroup(Stream, Group, out _) is { } group)
        {
            for (var i = 0; i < Ids.Count; i++)
            {
                if (group.Ack(Ids[i]))
                    result++;
            }
        }

        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Ids(Ids);
    }

    public static Ack Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Ids());
}
