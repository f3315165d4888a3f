using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Changes what a stream remembers of its producers' messages (XCFGSET). A real change forgets all IDs. The result is whether there was one.
/// </summary>
/// <param name="Stream">The stream.</param>
/// <param name="DurationSeconds">For how long an ID is remembered; null: as it is.</param>
/// <param name="MaxSize">How many IDs of a producer are remembered; null: as it is.</param>
/// <remarks><code>stream text | seconds + 1, or 0 | size + 1, or 0</code></remarks>
internal readonly record struct ConfigureProducers(string Stream, long? DurationSeconds, long? MaxSize) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.ConfigureProducers;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        result = engine.FindStream(Stream) is { } stream && stream.Producers.Configure(DurationSeconds, MaxSize);
        if (result)
            engine.Touch(Stream);
        return result;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.OptionalNumber(DurationSeconds);
        writer.OptionalNumber(MaxSize);
    }

    public static ConfigureProducers Read(ref RecordReader reader) => new(reader.Text(), reader.OptionalNumber(), reader.OptionalNumber());
}

/// <summary>
/// Remembers which entry a message became (XIDMPRECORD). The result is that entry: another one when the message is known already, and then
/// nothing changes.
/// </summary>
/// <remarks><code>stream text | producer text | idempotent ID text | ID</code></remarks>
internal readonly record struct RecordProduced(string Stream, string Producer, string IdempotentId, EntryId Id) : IMutation<EntryId>
{
    public MutationKind Kind => MutationKind.RecordProduced;

    public bool Apply(StreamEngine engine, long nowMs, out EntryId result)
    {
        var producers = engine.GetOrAddStream(Stream).Producers;
        if (producers.TryFind(Producer, IdempotentId, nowMs, out result))
            return false;
        producers.Add(Producer, IdempotentId, result = Id, nowMs);
        engine.Touch(Stream);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Producer);
        writer.Text(IdempotentId);
        writer.Id(Id);
    }

    public static RecordProduced Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Text(), reader.Id());
}
