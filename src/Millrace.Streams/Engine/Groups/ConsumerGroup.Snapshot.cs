using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A group in a snapshot, drawn at <see cref="Snapshots.SnapshotWriter"/>.</summary>
internal sealed partial class ConsumerGroup
{
    public void WriteSnapshot(RecordWriter writer)
    {
        writer.Text(Name);
        writer.Id(LastDeliveredId);
        writer.Flag(EntriesRead is not null);
        if (EntriesRead is { } read)
            writer.Number((ulong)read);
        writer.Number(_consumers.Count);
        foreach (var consumer in _consumers.Values)
        {
            writer.Text(consumer.Name);
            writer.Number(consumer.SeenMs);
            writer.OptionalNumber(consumer.ActiveMs < 0 ? null : consumer.ActiveMs);
        }

        Pending.WriteSnapshot(writer, _consumers.Values);
    }

    public static ConsumerGroup ReadSnapshot(ref RecordReader reader)
    {
        var group = new ConsumerGroup(reader.Text(), reader.Id()) { EntriesRead = reader.Flag() ? (long)reader.Number() : null };
        for (var left = reader.Count(); left > 0; left--)
        {
            var consumer = group.GetOrAddConsumer(reader.Text(), reader.PositiveNumber(), out var isNew);
            consumer.ActiveMs = reader.OptionalNumber() ?? -1;
            if (!isNew)
                throw EngineErrors.Damaged("a consumer comes twice", 0);
        }

        group.Pending.ReadSnapshot(ref reader);
        return group;
    }
}
