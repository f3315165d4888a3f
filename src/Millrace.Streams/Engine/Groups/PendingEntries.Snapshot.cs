using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>The pending entries of a group in a snapshot, drawn at <see cref="Snapshots.SnapshotWriter"/>.</summary>
internal sealed partial class PendingEntries
{
    /// <summary>Writes the items as they lie in their chunks, without a look at anything that others may change meanwhile.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="consumers">The owners, in the order in which they were written: their numbers begin at 1, and 0 is nobody.</param>
    public void WriteSnapshot(RecordWriter writer, IEnumerable<Consumer> consumers)
    {
        var (numbers, number) = (new int[_owners.Count], 0);
        foreach (var consumer in consumers)
            numbers[consumer.Slot] = ++number;
        writer.Number(_releases);
        writer.Number(Count);
        for (var at = _start; at < _end; at++)
        {
            var chunk = At(at);
            for (var index = chunk.Start; index < chunk.End; index++)
            {
                var item = chunk[index];
                writer.Id(item.Id);
                writer.Number(numbers[item.Slot]);
                writer.Number((ulong)(item.Slot == Nobody ? item.DeliveredMs - PendingChunk.FirstReleaseMs : item.DeliveredMs));
                writer.Number(item.DeliveryCount);
            }
        }
    }

    /// <summary>Reads what was pending, for the consumers that were added in the order of their numbers.</summary>
    public void ReadSnapshot(ref RecordReader reader)
    {
        _releases = reader.PositiveNumber();
        for (var left = reader.PositiveNumber(); left > 0; left--)
        {
            var (id, owner, time, deliveryCount) = (reader.Id(), reader.Number(), (long)reader.Number(), reader.PositiveNumber());
            if (owner >= (ulong)_owners.Count)
                throw EngineErrors.Damaged("an entry is pending for nobody there is", 0);
            if (Count > 0 && id <= LastId)
                throw EngineErrors.Damaged("an entry is pending twice, or out of order", 0);
            if (owner == Nobody && (time < 0 || time >= _releases || time > -1 - PendingChunk.FirstReleaseMs))
                throw EngineErrors.Damaged("an entry was handed back after the last one that was", 0);
            _owners[(int)owner]!.HeldCount++;
            Append(new(id, owner == Nobody ? PendingChunk.FirstReleaseMs + time : time, deliveryCount, (int)owner));
            Count++;
        }
    }
}
