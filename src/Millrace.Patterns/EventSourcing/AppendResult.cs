using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>What became of an append.</summary>
public enum AppendOutcome
{
    /// <summary>The events are in the stream, all of them.</summary>
    Appended,

    /// <summary>An append with this command ID was there before; nothing was appended.</summary>
    Duplicate,

    /// <summary>The stream has another version; nothing was appended.</summary>
    Conflict,

    /// <summary>The stream was deleted; nothing was appended.</summary>
    Deleted,
}

/// <summary>What became of an append. A conflict is data: who decides again wants the events that came between.</summary>
/// <param name="Outcome">What became of it.</param>
/// <param name="Version">
/// The version of the stream's last event now; for a duplicate, of the last event of the first append; for a deleted stream, of its tombstone.
/// </param>
/// <param name="Between">
/// After a conflict, the events after the expected version, in order: all that are left of them, at most
/// <see cref="EventStoreOptions.MaxBetween"/>. Empty otherwise, and when the stream is behind the expected version.
/// </param>
public sealed record AppendResult(AppendOutcome Outcome, long Version, IReadOnlyList<RecordedEvent> Between)
{
    /// <summary>Whether the events are in the stream, by this append or by an earlier one with its command ID.</summary>
    public bool IsRecorded => Outcome is AppendOutcome.Appended or AppendOutcome.Duplicate;

    /// <summary>
    /// After an append, the ID of the last event's entry: in the category if it is kept, otherwise in the stream. What a projection of either has to
    /// reach before a query sees the events. After a duplicate, or when an answer of the store was lost, the last entry that the category has by then, which
    /// will do as well, or <see langword="null"/> when it has none left. <see langword="null"/> after any other outcome.
    /// </summary>
    public EntryId? Position { get; init; }

    internal static AppendResult Of(AppendOutcome outcome, long version, EntryId? position = null) =>
        new(outcome, version, []) { Position = position };
}
