using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Acknowledges entries and deletes those that were pending from the stream, with regard to the other groups that refer to them. The result is
/// what became of each: one that was not pending is missing, and one that was pending is deleted, also when the stream no longer had it.
/// </summary>
/// <remarks><code>stream text | group text | policy byte | count | count × ID</code></remarks>
internal readonly record struct AckAndDelete(
    string Stream, string Group, IReadOnlyList<EntryId> Ids, ReferencePolicy Policy = ReferencePolicy.Keep) : IMutation<DeleteOutcome[]>
{
    public MutationKind Kind => MutationKind.AckAndDelete;

    public bool Apply(StreamEngine engine, long nowMs, out DeleteOutcome[] result)
    {
        result = new DeleteOutcome[Ids.Count];
        Array.Fill(result, DeleteOutcome.Missing);
        var changed = false;
        if (engine.FindGroup(Stream, Group, out var stream) is { } group)
        {
            for (var i = 0; i < result.Length; i++)
            {
                if (!group.Ack(Ids[i]))
                    continue;
                changed = true;
                var outcome = stream!.Delete(Ids[i], Policy, ref changed);
                if (outcome == DeleteOutcome.Deleted)
                    engine.Touch(Stream);
                result[i] = outcome == DeleteOutcome.StillReferenced ? outcome : DeleteOutcome.Deleted;
            }
        }

        return changed;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Byte((byte)Policy);
        writer.Ids(Ids);
    }

    public static AckAndDelete Read(ref RecordReader reader)
    {
        var (stream, group, policy) = (reader.Text(), reader.Text(), reader.Policy());
        return new(stream, group, reader.Ids(), policy);
    }
}
