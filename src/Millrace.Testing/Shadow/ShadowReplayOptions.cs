using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>What is replayed, and what counts as the same outcome.</summary>
public sealed record ShadowReplayOptions
{
    /// <summary>The stream whose past is replayed.</summary>
    public required string Stream { get; init; }

    /// <summary>
    /// The priority lane that is replayed; default <see langword="null"/>, the messages without one. Of a stream with lanes each is replayed by itself.
    /// </summary>
    public string? Lane { get; init; }

    /// <summary>The group whose handlers run, and with whose real outcomes theirs are compared.</summary>
    public required string Group { get; init; }

    /// <summary>Where to begin. Default: with the first entry there is.</summary>
    public ReadFrom From { get; init; } = ReadFrom.Start;

    /// <summary>The last entry. Default: the last there is.</summary>
    public EntryId Through { get; init; } = EntryId.Max;

    /// <summary>Entries at most, 1 to 1,000,000. Default 10,000.</summary>
    public int MaxEntries { get; init; } = 10_000;

    /// <summary>Differences told at most; the others are counted. Default 1,000.</summary>
    public int MaxDifferences { get; init; } = 1_000;

    /// <summary>
    /// State documents the handlers are to find, copied from the live store as they are now. Default: none. What the handlers write is found by those
    /// that come after.
    /// </summary>
    public IReadOnlyCollection<StateKey> Documents { get; init; } = [];

    /// <summary>
    /// State documents that must be after the replay what they are in the live store now, byte by byte, see <see cref="ShadowReport.DifferentDocuments"/>.
    /// Name those that nobody but the replayed messages wrote: the store does not know whose a document is, so that of a part of the past, or beside
    /// other writers, they differ whatever the handlers do. Default: none, and no document is compared.
    /// </summary>
    public IReadOnlyCollection<StateKey> FinalDocuments { get; init; } = [];

    /// <summary>
    /// Streams on which outputs of the group are looked for, besides those the handlers publish to now. Name every stream the group has published
    /// to: what is missing on one that no handler publishes to any more is noticed only here. Default: none.
    /// </summary>
    public IReadOnlyCollection<string> OutputStreams { get; init; } = [];

    /// <summary>How long retries and delays may take after the last entry, by the clock of the replay. Default 1 hour.</summary>
    public TimeSpan Settle { get; init; } = TimeSpan.FromHours(1);

    /// <summary>The stream that has the entries.</summary>
    internal string Source => Lane is null ? Stream : StreamNames.Lane(Stream, Lane);

    /// <summary>
    /// Whether two outputs with the same message ID are the same: the live one, then that of the replay. Default: same type, version and data, byte
    /// by byte.
    /// </summary>
    public Func<MessageHeaders, MessageHeaders, bool> IsSame { get; init; } = static (live, shadow) =>
        (live.Type, live.Version) == (shadow.Type, shadow.Version) && ShadowReplay.Data(live).Span.SequenceEqual(ShadowReplay.Data(shadow).Span);
}
