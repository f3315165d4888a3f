namespace Millrace.Streams;

/// <summary>The state of a stream, as <c>XINFO STREAM</c> tells it.</summary>
public sealed record StreamInfo
{
    /// <summary>Number of entries in the stream.</summary>
    public required long Length { get; init; }

    /// <summary>The last ID ever assigned; the next entry's is larger, even when the stream is empty.</summary>
    public required EntryId LastGeneratedId { get; init; }

    /// <summary>The largest ID that was deleted by name, or 0-0. Trimming does not move it.</summary>
    public required EntryId MaxDeletedId { get; init; }

    /// <summary>Entries ever appended, deleted and trimmed ones included.</summary>
    public required long EntriesAdded { get; init; }

    /// <summary>Number of consumer groups.</summary>
    public required int GroupCount { get; init; }

    /// <summary>The oldest entry, or <see langword="null"/> when the stream is empty.</summary>
    public required StreamEntry? FirstEntry { get; init; }

    /// <summary>The newest entry, or <see langword="null"/> when the stream is empty.</summary>
    public required StreamEntry? LastEntry { get; init; }
}

/// <summary>The state of a consumer group, as <c>XINFO GROUPS</c> tells it.</summary>
public sealed record GroupInfo
{
    /// <summary>The group's name.</summary>
    public required string Name { get; init; }

    /// <summary>Number of consumers the group knows.</summary>
    public required int ConsumerCount { get; init; }

    /// <summary>Entries delivered and not yet acknowledged.</summary>
    public required long PendingCount { get; init; }

    /// <summary>The last entry delivered to anyone in the group.</summary>
    public required EntryId LastDeliveredId { get; init; }

    /// <summary>The count of entries the group has read, or <see langword="null"/> when the store cannot know.</summary>
    public required long? EntriesRead { get; init; }

    /// <summary>Entries not yet delivered to the group, or <see langword="null"/> when the store cannot know (after some deletions).</summary>
    public required long? Lag { get; init; }
}

/// <summary>The state of a consumer, as <c>XINFO CONSUMERS</c> tells it.</summary>
public sealed record ConsumerInfo
{
    /// <summary>The consumer's name.</summary>
    public required string Name { get; init; }

    /// <summary>Entries it holds.</summary>
    public required long PendingCount { get; init; }

    /// <summary>
    /// Time since the consumer last tried to read. Redis 7.0 counts from the last read that brought something: do not judge liveness by it.
    /// </summary>
    public required TimeSpan IdleTime { get; init; }
}

/// <summary>All pending entries of a group in four figures, as <c>XPENDING key group</c> tells them.</summary>
public sealed record PendingSummary
{
    /// <summary>Nothing pending.</summary>
    public static PendingSummary None { get; } = new() { Count = 0, MinId = null, MaxId = null, CountByConsumer = new Dictionary<string, long>() };

    /// <summary>Number of pending entries.</summary>
    public required long Count { get; init; }

    /// <summary>The smallest pending ID, or <see langword="null"/> when nothing is pending.</summary>
    public required EntryId? MinId { get; init; }

    /// <summary>The largest pending ID, or <see langword="null"/> when nothing is pending.</summary>
    public required EntryId? MaxId { get; init; }

    /// <summary>Pending entries by consumer; consumers that hold nothing are left out.</summary>
    public required IReadOnlyDictionary<string, long> CountByConsumer { get; init; }
}

/// <summary>What waits for its time to be appended to a stream.</summary>
public sealed record ScheduleInfo
{
    /// <summary>Number of scheduled entries.</summary>
    public required long Count { get; init; }

    /// <summary>
    /// Time until the first is due by the store's clock, or <see langword="null"/>: nothing is scheduled. Zero: it is due, and about to be
    /// appended by whoever reads the stream.
    /// </summary>
    public required TimeSpan? NextIn { get; init; }
}
