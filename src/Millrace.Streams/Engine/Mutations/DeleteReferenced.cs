using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>What deleting an entry does to the groups that refer to it. The numbers are part of the journal's format.</summary>
internal enum ReferencePolicy : byte
{
    /// <summary>Pending entries stay, without an entry.</summary>
    Keep = 0,

    /// <summary>The entry is pending in no group any more.</summary>
    Delete = 1,

    /// <summary>Only what every group has read and acknowledged is deleted.</summary>
    Acked = 2,
}

/// <summary>What became of an entry that was to be deleted, with the numbers of the reply.</summary>
internal enum DeleteOutcome
{
    Missing = -1,
    Deleted = 1,
    StillReferenced = 2,
}

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
        for (var i = 0; i < result.Length; i++)
            result[i] = Delete(stream, Ids[i]);
        var changed = result.AsSpan().Contains(DeleteOutcome.Deleted);
        if (changed)
            engine.Touch(Stream);
        return changed;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Byte((byte)Policy);
        writer.Ids(Ids);
    }

    public static DeleteReferenced Read(ref RecordReader reader)
    {
        var (stream, policy) = (reader.Text(), (ReferencePolicy)reader.Byte());
        return policy <= ReferencePolicy.Acked
            ? new(stream, policy, reader.Ids())
            : throw EngineErrors.Damaged($"there is no policy {(byte)policy}", 0);
    }

    private DeleteOutcome Delete(StreamValue stream, EntryId id)
    {
        if (Policy == ReferencePolicy.Acked && stream.IsReferenced(id))
            return DeleteOutcome.StillReferenced;
        if (!stream.Delete(id))
            return DeleteOutcome.Missing;
        if (Policy == ReferencePolicy.Delete)
        {
            foreach (var group in stream.Groups)
                group.Ack(id);
        }

        return DeleteOutcome.Deleted;
    }
}
