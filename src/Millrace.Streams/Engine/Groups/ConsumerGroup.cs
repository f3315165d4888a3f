using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>A named cursor over a stream, with its consumers and its pending entries.</summary>
internal sealed partial class ConsumerGroup(string name, EntryId lastDeliveredId)
{
    private readonly Dictionary<string, Consumer> _consumers = new(StringComparer.Ordinal);

    public string Name { get; } = name;

    /// <summary>The last entry delivered to anyone in the group.</summary>
    public EntryId LastDeliveredId { get; set; } = lastDeliveredId;

    /// <summary>Entries the group has read, or null when it cannot be known. See <see cref="StreamValue.LagOf"/>.</summary>
    public long? EntriesRead { get; set; }

    /// <summary>Bytes of memory it takes, about. A consumer is an entry of the table, an object and its name.</summary>
    public long SizeBytes => 300 + (2 * Name.Length) + (_consumers.Count * 160L) + Pending.SizeBytes;

    /// <summary>What its stream has counted for it. Kept by the stream.</summary>
    public long CountedBytes { get; set; }

    public IReadOnlyCollection<Consumer> Consumers => _consumers.Values;

    /// <summary>The pending entries by ID.</summary>
    public PendingEntries Pending { get; private init; } = new();

    /// <summary>Pending entries that were handed back and that nobody claimed since.</summary>
    public long NackedCount => Pending.ReleasedCount;

    public Consumer? FindConsumer(string consumer) => _consumers.GetValueOrDefault(consumer);

    /// <summary>The consumer, made when it is new.</summary>
    public Consumer GetOrAddConsumer(string consumer, long nowMs, out bool isNew)
    {
        isNew = !_consumers.TryGetValue(consumer, out var found);
        if (isNew)
        {
            _consumers.Add(consumer, found = new(consumer));
            Pending.AddOwner(found);
        }

        found!.SeenMs = nowMs;
        return found;
    }

    /// <summary>Deletes a consumer with what it holds.</summary>
    /// <returns>How many pending entries went with it, or null when there is no such consumer.</returns>
    public long? RemoveConsumer(string consumer)
    {
        if (!_consumers.Remove(consumer, out var removed))
            return null;
        var held = removed.HeldCount;
        Pending.RemoveOwner(removed);
        return held;
    }

    /// <summary>
    /// Makes an entry pending for a consumer with delivery count 1. After the group was moved back it may be pending already: then it
    /// changes hands.
    /// </summary>
    public void Deliver(EntryId id, Consumer consumer, long nowMs) => Claim(id, consumer, nowMs, nowMs, 1);

    /// <summary>Gives a pending entry to a consumer, as one more delivery.</summary>
    /// <returns>The new delivery count.</returns>
    public long Claim(EntryId id, Consumer consumer, long nowMs)
    {
        var wasPending = Pending.TryGet(id, out var pending);
        Debug.Assert(wasPending, "Only what is pending can be claimed.");
        var deliveryCount = Saturating.Increment(pending.DeliveryCount);
        Claim(id, consumer, nowMs, nowMs, deliveryCount);
        return deliveryCount;
    }

    /// <summary>Gives an entry to a consumer, whether it was pending or not, with a time and count of delivery to show for it.</summary>
    public void Claim(EntryId id, Consumer consumer, long nowMs, long deliveredMs, long deliveryCount)
    {
        consumer.ActiveMs = nowMs;
        Pending.Set(id, new(consumer, deliveredMs, deliveryCount));
    }

    /// <summary>Takes an entry from its owner: it is pending for nobody then, and first in claim order.</summary>
    /// <returns>Whether it was not pending before.</returns>
    public bool Nack(EntryId id, long deliveryCount) => Pending.Set(id, new(null, 0, deliveryCount));

    /// <summary>Sets the idle time of an entry to zero if the consumer still holds that delivery.</summary>
    public bool Extend(string consumer, HeldEntry held, long nowMs)
    {
        if (!IsHeld(consumer, held))
            return false;
        Claim(held.Id, _consumers[consumer], nowMs, nowMs, held.DeliveryCount);
        return true;
    }

    public bool IsHeld(string consumer, HeldEntry held) =>
        Pending.TryGet(held.Id, out var pending) && pending.DeliveryCount == held.DeliveryCount && pending.Owner?.Name == consumer;

    /// <summary>Moves the times of deliveries and of the consumers' calls ahead: so much time was skipped.</summary>
    public void SkipTime(long skippedMs)
    {
        Pending.SkipTime(skippedMs);
        foreach (var consumer in _consumers.Values)
        {
            consumer.SeenMs = Saturating.Add(consumer.SeenMs, skippedMs);
            if (consumer.ActiveMs >= 0)
                consumer.ActiveMs = Saturating.Add(consumer.ActiveMs, skippedMs);
        }
    }

    /// <summary>Takes an entry out of the pending entries.</summary>
    /// <returns>Whether it was pending.</returns>
    public bool Ack(EntryId id) => Pending.Remove(id);

    /// <summary>A deep copy.</summary>
    public ConsumerGroup Clone()
    {
        var consumers = new List<Consumer>(_consumers.Count);
        var clone = new ConsumerGroup(Name, LastDeliveredId) { EntriesRead = EntriesRead, Pending = Pending.Clone(consumers.Add) };
        foreach (var consumer in consumers)
            clone._consumers.Add(consumer.Name, consumer);
        return clone;
    }

    [Conditional("DEBUG")]
    public void Verify()
    {
        Pending.Verify();
        Debug.Assert(
            Pending.Count == NackedCount + _consumers.Values.Sum(consumer => consumer.HeldCount), "Each pending entry has one owner or none.");
        foreach (var (id, pending) in Pending)
        {
            Debug.Assert(
                pending.Owner is null || _consumers.GetValueOrDefault(pending.Owner.Name) == pending.Owner, "The owner is of the group.");
            Debug.Assert(pending.DeliveryCount >= 0, $"{id} was not delivered less than never.");
        }
    }
}
