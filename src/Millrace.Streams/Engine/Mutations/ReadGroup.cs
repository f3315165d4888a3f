using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Delivers the next entries of a group to a consumer, which is made when it is new. The result says where the entries are. How many there are follows
/// from the state of the stream, so the entries themselves are not in the record. Without acknowledgement none of them becomes pending.
/// </summary>
/// <remarks><code>stream text | group text | consumer text | count | 1 without acknowledgement, else 0</code></remarks>
internal readonly record struct ReadGroup(string Stream, string Group, string Consumer, int Count, bool NoAck = false) : IMutation<DeliveredRange>
{
    public MutationKind Kind => MutationKind.ReadGroup;

    public bool Apply(StreamEngine engine, long nowMs, out DeliveredRange result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        var consumer = group.GetOrAddConsumer(Consumer, nowMs, out var isNew);
        result = stream.Deliver(group, NoAck ? null : consumer, Count, nowMs);
        if (result.Count > 0 && !NoAck)
            engine.SignalPending(Stream);
        return isNew || result.Count > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
        writer.Number(Count);
        writer.Flag(NoAck);
    }

    public static ReadGroup Read(ref RecordReader reader) =>
        new(reader.Text(), reader.Text(), reader.Text(), (int)Math.Min(reader.Number(), int.MaxValue), reader.Flag());
}
