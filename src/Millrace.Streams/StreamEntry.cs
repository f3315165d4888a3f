namespace Millrace.Streams;

/// <summary>One record of a stream.</summary>
/// <param name="Id">Its ID.</param>
/// <param name="Fields">Its fields.</param>
public readonly record struct StreamEntry(EntryId Id, EntryFields Fields);

/// <summary>An entry as a consumer group hands it out. It is pending for the consumer until it is acknowledged.</summary>
/// <param name="Id">The entry's ID.</param>
/// <param name="Fields">The entry's fields.</param>
/// <param name="DeliveryCount">Times delivered, this one included: 1 for a new entry.</param>
public readonly record struct DeliveredEntry(EntryId Id, EntryFields Fields, long DeliveryCount);

/// <summary>An entry delivered to a consumer and not yet acknowledged.</summary>
/// <param name="Id">The entry's ID. The entry itself may have been deleted meanwhile.</param>
/// <param name="Consumer">The consumer that holds it.</param>
/// <param name="IdleTime">Time since the last delivery, by the store's clock; never negative.</param>
/// <param name="DeliveryCount">Times delivered.</param>
public readonly record struct PendingEntry(EntryId Id, string Consumer, TimeSpan IdleTime, long DeliveryCount);

/// <summary>A delivery a consumer believes it holds: what the store compares before it extends or settles it.</summary>
/// <param name="Id">The entry's ID.</param>
/// <param name="DeliveryCount">The delivery count at which the consumer got it. Another count means somebody else had it since.</param>
public readonly record struct HeldEntry(EntryId Id, long DeliveryCount);

/// <summary>What a read brought from one stream.</summary>
/// <typeparam name="TEntry"><see cref="StreamEntry"/> for plain reads, <see cref="DeliveredEntry"/> for group reads.</typeparam>
/// <param name="Stream">The stream.</param>
/// <param name="Entries">The entries in ID order; never empty.</param>
public sealed record StreamBatch<TEntry>(string Stream, IReadOnlyList<TEntry> Entries)
    where TEntry : struct;
