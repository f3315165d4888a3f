using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A stream in a snapshot, drawn at <see cref="Snapshots.SnapshotWriter"/>.</summary>
internal sealed partial class StreamValue
{
    public override void WriteSnapshot(RecordWriter writer)
    {
        (_producers ?? new(idmpDurationSeconds, idmpMaxSize)).WriteSnapshot(writer);
        Entries.WriteSnapshot(writer);
        writer.Id(LastGeneratedId);
        writer.Id(MaxDeletedId);
        writer.Number((ulong)EntriesAdded);
        writer.Number(_groups.Count);
        foreach (var group in _groups.Values)
            group.WriteSnapshot(writer);
    }

    public static StreamValue ReadSnapshot(ref RecordReader reader)
    {
        var producers = IdempotentProducers.ReadSnapshot(ref reader);
        var stream = new StreamValue(producers.DurationSeconds, producers.MaxSize)
        {
            _producers = producers.IsUnused ? null : producers,
            Entries = EntryLog.ReadSnapshot(ref reader),
            LastGeneratedId = reader.Id(),
            MaxDeletedId = reader.Id(),
            EntriesAdded = (long)reader.Number(),
        };
        stream.CheckCounters();
        for (var left = reader.Count(); left > 0; left--)
            stream.AddNew(ConsumerGroup.ReadSnapshot(ref reader));
        return stream;
    }
}
