using System.Globalization;

namespace Millrace.Streams;

/// <summary>What to keep when a stream is trimmed. Exactly one of the two bounds is set.</summary>
public sealed record StreamTrim
{
    private StreamTrim()
    {
    }

    /// <summary>Entries to keep: the newest this many.</summary>
    public long? MaxLength { get; private init; }

    /// <summary>The smallest ID to keep.</summary>
    public EntryId? MinId { get; private init; }

    /// <summary>Whether the store may keep some more than asked, which costs it less: whole blocks only.</summary>
    public bool IsApproximate { get; private init; }

    /// <summary>Keeps the newest <paramref name="length"/> entries.</summary>
    /// <param name="length">Zero or more.</param>
    /// <param name="approximate">Whether the store may keep some more.</param>
    public static StreamTrim ToLength(long length, bool approximate = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        return new() { MaxLength = length, IsApproximate = approximate };
    }

    /// <summary>Keeps entries with this ID and above.</summary>
    /// <param name="minId">The smallest ID to keep.</param>
    /// <param name="approximate">Whether the store may keep some more.</param>
    public static StreamTrim ToMinId(EntryId minId, bool approximate = false) => new() { MinId = minId, IsApproximate = approximate };
}

/// <summary>A range of a stream, both bounds inclusive.</summary>
public sealed record StreamRange
{
    /// <summary>The smallest ID wanted. Default: from the first entry.</summary>
    public EntryId Start { get; init; } = EntryId.Zero;

    /// <summary>The largest ID wanted. Default: to the last entry.</summary>
    public EntryId End { get; init; } = EntryId.Max;

    /// <summary>Entries at most, 1 to <see cref="StreamLimits.MaxBatch"/>. Default 1,000.</summary>
    public int Count { get; init; } = 1_000;

    /// <summary>Whether to go from the end to the start. Default: no.</summary>
    public bool IsReversed { get; init; }
}

/// <summary>Where a read of one stream goes on.</summary>
/// <param name="Stream">The stream. It need not exist.</param>
/// <param name="After">The last ID already seen; entries above it are read.</param>
public readonly record struct StreamPosition(string Stream, EntryId After);

/// <summary>Where a new consumer group starts.</summary>
public readonly record struct GroupStart
{
    /// <summary>With the first entry of the stream: nothing that is there is missed.</summary>
    public static GroupStart Beginning => default;

    /// <summary>After the last entry of this moment: only what comes later.</summary>
    public static GroupStart Now => new() { IsNow = true };

    /// <summary>Whether the group starts after the last entry of this moment.</summary>
    public bool IsNow { get; private init; }

    /// <summary>The last ID the group counts as delivered, when not <see cref="IsNow"/>.</summary>
    public EntryId LastDelivered { get; private init; }

    /// <summary>
    /// With the first entry of a moment, by the store's clock. Not for streams whose entries have IDs that are no times, as those of aggregates.
    /// </summary>
    public static GroupStart Time(DateTimeOffset time)
    {
        var first = EntryId.FromTime(time);
        return After(first == EntryId.Zero ? first : first.Previous());
    }

    /// <summary>After an ID, as if the group had been delivered all up to it.</summary>
    public static GroupStart After(EntryId id) => new() { LastDelivered = id };

    /// <summary>Reads <c>Beginning</c>, <c>Now</c>, an entry ID, after which it starts, or a time, such as 2026-11-21T10:00:00Z.</summary>
    /// <exception cref="FormatException">The text is none of these.</exception>
    public static GroupStart Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryParse(text, out var start)
            ? start
            : throw new FormatException($"'{text}' is neither Beginning, Now, an entry ID nor a time, such as 2026-11-21T10:00:00Z.");
    }

    /// <summary>As <see cref="Parse"/>; not with the text of something else.</summary>
    public static bool TryParse(string? text, out GroupStart start)
    {
        start = default;
        if ("Beginning".Equals(text, StringComparison.OrdinalIgnoreCase))
            return true;
        if ("Now".Equals(text, StringComparison.OrdinalIgnoreCase))
            start = Now;
        else if (EntryId.TryParse(text, null, out var id))
            start = After(id);
        else if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time))
            start = Time(time);
        else
            return false;
        return true;
    }
}

/// <summary>A read of new entries for a consumer of a group.</summary>
public sealed record GroupRead
{
    /// <summary>The group; it must exist on every stream named.</summary>
    public required string Group { get; init; }

    /// <summary>The consumer; made by the store when it is new.</summary>
    public required string Consumer { get; init; }

    /// <summary>The streams, served in this order. On a cluster they must share a hash slot.</summary>
    public required IReadOnlyList<string> Streams { get; init; }

    /// <summary>Entries at most from each stream, 1 to <see cref="StreamLimits.MaxBatch"/>. Default 100.</summary>
    public int Count { get; init; } = 100;

    /// <summary>
    /// How long to wait when there is nothing new. Default: not at all. Real blocking, never polling; a store may wait up to 100 ms longer.
    /// </summary>
    public TimeSpan Block { get; init; } = TimeSpan.Zero;
}

/// <summary>Which pending entries of a group to list.</summary>
public sealed record PendingQuery
{
    /// <summary>Only entries idle at least this long. Default: all.</summary>
    public TimeSpan MinIdleTime { get; init; } = TimeSpan.Zero;

    /// <summary>Only entries this consumer holds. Default: of every consumer.</summary>
    public string? Consumer { get; init; }

    /// <summary>The smallest ID wanted.</summary>
    public EntryId Start { get; init; } = EntryId.Zero;

    /// <summary>The largest ID wanted.</summary>
    public EntryId End { get; init; } = EntryId.Max;

    /// <summary>Entries at most, 1 to <see cref="StreamLimits.MaxBatch"/>. Default 100.</summary>
    public int Count { get; init; } = 100;
}

/// <summary>Takes pending entries over, or again, for a consumer.</summary>
public sealed record ClaimRequest
{
    /// <summary>The consumer that takes them; made by the store when it is new.</summary>
    public required string Consumer { get; init; }

    /// <summary>The entries wanted. Those that are not pending, or not idle long enough, are skipped.</summary>
    public required IReadOnlyList<EntryId> Ids { get; init; }

    /// <summary>Only entries idle at least this long, compared by the store at the moment of the claim. Zero takes them in any case.</summary>
    public required TimeSpan MinIdleTime { get; init; }
}

/// <summary>What a claim brought.</summary>
/// <param name="Entries">The entries taken, each with its delivery count raised by one and its idle time at zero.</param>
/// <param name="Deleted">IDs that were pending but are no longer in the stream: dropped from the pending entries, never handled.</param>
public sealed record ClaimResult(IReadOnlyList<DeliveredEntry> Entries, IReadOnlyList<EntryId> Deleted);
