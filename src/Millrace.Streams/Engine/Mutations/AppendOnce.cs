using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Appends an entry unless its producer sent the message before. The result is the ID of the entry that the message became first, which may be
/// deleted by now. A repetition is counted, and so changes the stream.
/// </summary>
/// <param name="Producer">Who sends.</param>
/// <param name="IdempotentId">What the producer, or a hash of the fields, calls the message.</param>
/// <param name="Entry">The entry, without an ID of its own.</param>
/// <remarks><code>producer text | idempotent ID text | the parts of an append</code></remarks>
internal readonly record struct AppendOnce(string Producer, string IdempotentId, Append Entry) : IMutation<EntryId>
{
    public MutationKind Kind => MutationKind.AppendOnce;

    public bool Apply(StreamEngine engine, long nowMs, out EntryId result)
    {
        if (engine.FindStream(Entry.Stream) is { } found && found.Producers.TryFind(Producer, IdempotentId, nowMs, out result))
        {
            found.Producers.AddDuplicate();
            engine.Touch(Entry.Stream);
            return true;
        }

        Entry.Apply(engine, nowMs, out result);
        engine.GetOrAddStream(Entry.Stream).Producers.Add(Producer, IdempotentId, result, nowMs);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Producer);
        writer.Text(IdempotentId);
        Entry.Write(writer);
    }

    public static AppendOnce Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), Append.Read(ref reader));
}
