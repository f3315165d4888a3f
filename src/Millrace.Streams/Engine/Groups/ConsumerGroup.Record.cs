using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A group as bytes, drawn at <see cref="StreamValue.Write"/>.</summary>
internal sealed partial class ConsumerGroup
{
    public void Write(RecordWriter writer)
    {
        writer.Text(Name);
        writer.Id(LastDeliveredId);
        writer.Flag(EntriesRead is not null);
        if (EntriesRead is { } read)
            writer.Number((ulong)read);
        var numbers = new Dictionary<Consumer, int>(_consumers.Count);
        writer.Number(_consumers.Count);
        foreach (var consumer in _consumers.Values)
        {
            numbers.Add(consumer, numbers.Count);
            writer.Text(consumer.Name);
            writer.Number(consumer.SeenMs);
            writer.OptionalNumber(consumer.ActiveMs < 0 ? null : consumer.ActiveMs);
        }

        writer.Number(Pending.Count - NackedCount);
        foreach (var (id, pending) in Pending)
        {
            if (pending.Owner is not { } owner)
                continue;
            writer.Id(id);
            writer.Number(numbers[owner]);
            writer.Number(Math.Max(0, pending.DeliveredMs));
            writer.Number(pending.DeliveryCount);
        }

        var released = Pending.Released();
        writer.Number(released.Length);
        foreach (var id in released)
        {
            Pending.TryGet(id, out var pending);
            writer.Id(id);
            writer.Number(pending.DeliveryCount);
        }
    }

    public static ConsumerGroup Read(ref RecordReader reader)
    {
        var group = new ConsumerGroup(reader.Text(), reader.Id()) { EntriesRead = reader.Flag() ? (long)reader.Number() : null };
        var consumers = new Consumer[reader.Count()];
        for (var i = 0; i < consumers.Length; i++)
        {
            consumers[i] = group.GetOrAddConsumer(reader.Text(), reader.PositiveNumber(), out var isNew);
            consumers[i].ActiveMs = reader.OptionalNumber() ?? -1;
            if (!isNew)
                throw EngineErrors.Damaged("a consumer comes twice", 0);
        }

        for (var left = reader.Count(); left > 0; left--)
        {
            var (id, number) = (reader.Id(), reader.Number());
            if (number >= (ulong)consumers.Length)
                throw EngineErrors.Damaged("an entry is pending for nobody there is", 0);
            group.Restore(id, new(consumers[number], reader.PositiveNumber(), reader.PositiveNumber()));
        }

        for (var left = reader.Count(); left > 0; left--)
            group.Restore(reader.Id(), new(null, 0, reader.PositiveNumber()));
        return group;
    }

    private void Restore(EntryId id, Pending pending)
    {
        if (!Pending.Set(id, pending))
            throw EngineErrors.Damaged("an entry is pending twice", 0);
    }
}
