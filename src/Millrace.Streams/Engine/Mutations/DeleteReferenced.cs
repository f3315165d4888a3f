using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Deletes entries by ID with regard to the groups that refer to them. The result is what became of each.</summary>
/// <remarks><code>stream text | policy byte | count | count × ID</code></remarks>
internal readonly record struct DeleteReferenced(string Stream, ReferencePolicy Policy, IReadOnlyList<EntryId> Ids) : IMutation<DeleteOutcome[]>
{
    public MutationKind Kind => MutationKind.DeleteReferenced;

    public bool Apply(StreamEngine engine, long nowMs, out DeleteOutcome[] result)
    {
        result = new DeleteOutcome[Ids.Count];
        Array.Fill(result, DeleteOutcome.Missing);
        if (engine.FindStream(Stream) is not { } stream)
            return false;
        var changed = false;
        for (var i = 0; i < result.Length; i++)
            result[i] = stream.Delete(Ids[i], Policy, ref changed);
        if (result.AsSpan().Contains(DeleteOutcome.Deleted))
            engine.Touch(Stream);
        return changed;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Byte((byte)Policy);
        writer.Ids(Ids);
    }

    public static DeleteReferenced Read(ref RecordReader reader) => new(reader.Text(), reader.Policy(), reader.Ids());
}
