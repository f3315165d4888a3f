using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Time jumped ahead: nobody had it to work in, so it counts for nobody as idle. Moves the times of all deliveries and of the consumers' last
/// calls ahead as far. Schedules and times to live stay where they are: they go by the clock. The result is whether anybody was there.
/// </summary>
/// <param name="SkippedMs">How far, beyond the time that really passed.</param>
/// <remarks><code>skipped ms</code>Costs a look at each key, and at each pending entry.</remarks>
internal readonly record struct SkipTime(long SkippedMs) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SkipTime;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        result = false;
        foreach (var keyspace in engine.Databases)
        {
            foreach (var group in keyspace.Values.OfType<StreamValue>().SelectMany(static stream => stream.Groups))
            {
                result |= group.Consumers.Count > 0;
                group.SkipTime(SkippedMs);
            }
        }

        return result;
    }

    public void Write(RecordWriter writer) => writer.Number(SkippedMs);

    public static SkipTime Read(ref RecordReader reader) => new(reader.PositiveNumber());
}
