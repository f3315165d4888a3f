using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Millrace.Streams.Engine;

/// <summary>
/// A named cursor over a stream with its pending entries, which are kept twice: by ID in the group and by ID in the consumer that holds them.
/// </summary>
internal sealed class ConsumerGroup(string name, EntryId lastDeliveredId)
{
    private readonly Dictionary<string, Consumer> _consumers = new(StringComparer.Ordinal);
    private readonly IdMap<Pending> _pending = new();

    public string Name { get; } = name;

    /// <summary>The last entry delivered to anyone in the group.</summary>
    public EntryId LastDeliveredId { get; set; } = lastDeliveredId;

    /// <summary>Entries the group has read, or null when it cannot be known. See <see cref="StreamValue.LagOf"/>.</summary>
    public long? EntriesRead { get; set; }

    public IReadOnlyCollection<Consumer> Consumers => _consumers.Values;

    /// <summary>The pending entries by ID.</summary>
    public IdMap<Pending> Pending => _pending;

    public Consumer? FindConsumer(string consumer) => _consumers.GetValueOrDefault(consumer);

    /// <summary>The consumer, made when it is new.</summary>
    public Consumer GetOrAddConsumer(string consumer, long nowMs, out bool isNew)
    {
        isNew = !_consumers.TryGetValue(consumer, out var found);
        if (isNew)
            _consumers.Add(consumer, found = new(consumer));
        found!.SeenMs = nowMs;
        return found;
    }

    /// <summary>Deletes a consumer with what it holds.</summary>
    /// <returns>How many pending entries went with it, or null when there is no such consumer.</returns>
    public long? RemoveConsumer(string consumer)
    {
        if (!_consumers.Remove(consumer, out var removed))
            return null;
        foreach (var (id, _) in removed.Held)
            _pending.Remove(id);
        return removed.Held.Count;
    }

    /// <summary>
    /// Makes an entry pending for a consumer with delivery count 1. After the group was moved back it may be pending already: then it
    /// changes hands.
    /// </summary>
    public void Deliver(EntryId id, Consumer consumer, long nowMs)
    {
        Ack(id);
        _pending.Add(id, new(consumer, nowMs, 1));
        consumer.Held.Add(id, default);
    }

    /// <summary>Gives a pending entry to a consumer, as one more delivery.</summary>
    /// <returns>The new delivery count.</returns>
    public long Claim(EntryId id, Consumer consumer, long nowMs)
    {
        ref var pending = ref _pending.Find(id);
        if (pending.Owner != consumer)
        {
            pending.Owner.Held.Remove(id);
            consumer.Held.Add(id, default);
        }

        pending = new(consumer, nowMs, pending.DeliveryCount + 1);
        return pending.DeliveryCount;
    }

    /// <summary>Sets the idle time of an entry to zero if the consumer still holds that delivery.</summary>
    public bool Extend(string consumer, HeldEntry held, long nowMs)
    {
        if (!IsHeld(consumer, held))
            return false;
        ref var pending = ref _pending.Find(held.Id);
        pending = pending with { DeliveredMs = nowMs };
        return true;
    }

    public bool IsHeld(string consumer, HeldEntry held)
    {
        ref var pending = ref _pending.Find(held.Id);
        return !Unsafe.IsNullRef(ref pending) && pending.DeliveryCount == held.DeliveryCount && pending.Owner.Name == consumer;
    }

    /// <summary>Takes an entry out of the pending entries.</summary>
    /// <returns>Whether it was pending.</returns>
    public bool Ack(EntryId id)
    {
        if (!_pending.Remove(id, out var pending))
            return false;
        var removed = pending.Owner.Held.Remove(id);
        Debug.Assert(removed, "A pending entry is held by its owner.");
        return true;
    }

    [Conditional("DEBUG")]
    public void Verify()
    {
        _pending.Verify();
        Debug.Assert(_pending.Count == _consumers.Values.Sum(consumer => consumer.Held.Count), "Each pending entry has exactly one holder.");
        foreach (var (id, pending) in _pending)
        {
            Debug.Assert(_consumers.GetValueOrDefault(pending.Owner.Name) == pending.Owner, "The owner is a consumer of the group.");
            Debug.Assert(pending.Owner.Held.Contains(id), "The owner holds the entry.");
            Debug.Assert(pending.DeliveryCount > 0, "What is pending was delivered.");
        }

        foreach (var consumer in _consumers.Values)
            consumer.Held.Verify();
    }
}

/// <summary>A named reader in a group.</summary>
internal sealed class Consumer(string name)
{
    public string Name { get; } = name;

    /// <summary>
    /// When it last tried to read or claim. Soft: a read that brings nothing moves it without a journal record, so that an idle consumer
    /// costs no write; after a restart it is the time of the last journaled attempt.
    /// </summary>
    public long SeenMs { get; set; }

    /// <summary>The IDs of the pending entries it holds.</summary>
    public IdMap<Nothing> Held { get; } = new();

    /// <summary>The value of a map that is a set.</summary>
    internal readonly struct Nothing;
}

/// <summary>A delivery that is not yet acknowledged.</summary>
internal readonly record struct Pending(Consumer Owner, long DeliveredMs, long DeliveryCount)
{
    /// <summary>Time since the delivery; zero when the clock went back.</summary>
    public long IdleMs(long nowMs) => Math.Max(0, nowMs - DeliveredMs);
}
