using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Sets the counters of a stream that exists. The result is whether it does. As in Redis it is no change to those who watch the key.
/// </summary>
/// <remarks><code>stream text | ID | entries added + 1, or 0 | 0, or 1 and the largest deleted ID</code></remarks>
internal readonly record struct SetStreamId(string Stream, EntryId Id, long? EntriesAdded = null, EntryId? MaxDeletedId = null) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SetStreamId;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var stream = engine.FindStream(Stream);
        result = stream is not null;
        if (stream is null)
            return false;
        if (Id < stream.Entries.LastId)
            throw EngineErrors.IdNotIncreasing(Stream, Id, stream.Entries.LastId);
        stream.SetCounters(Id, EntriesAdded, MaxDeletedId);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Id(Id);
        writer.Number(EntriesAdded is { } added ? (ulong)added + 1 : 0);
        writer.Byte(MaxDeletedId is null ? (byte)0 : (byte)1);
        if (MaxDeletedId is { } deleted)
            writer.Id(deleted);
    }

    public static SetStreamId Read(ref RecordReader reader)
    {
        var (stream, id, added) = (reader.Text(), reader.Id(), reader.Number());
        EntryId? deleted = reader.Byte() == 0 ? null : reader.Id();
        return added <= 1UL << 63
            ? new(stream, id, added == 0 ? null : (long)(added - 1), deleted)
            : throw EngineErrors.Damaged("a count is too large", 0);
    }
}
