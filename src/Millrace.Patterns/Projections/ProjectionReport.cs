using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>What a projection is at.</summary>
public enum ProjectionState
{
    /// <summary>No process has begun with it, or the one that ran it is gone and none has taken over yet.</summary>
    Idle,

    /// <summary>In this process: another one runs it.</summary>
    StandingBy,

    /// <summary>It reads what there is.</summary>
    CatchingUp,

    /// <summary>It has read all and waits for more.</summary>
    Live,

    /// <summary>It was told to pause, see <see cref="ProjectionControl.PauseAsync"/>.</summary>
    Paused,

    /// <summary>It stopped at an event it cannot fold in, or because its source lacks entries. The report has the reason.</summary>
    Stopped,

    /// <summary>The store or the target failed it; it goes on trying.</summary>
    Failing,

    /// <summary>Its process stops.</summary>
    Stopping,
}

/// <summary>How a projection does.</summary>
public sealed record ProjectionReport
{
    /// <summary>The projection.</summary>
    public required string Name { get; init; }

    /// <summary>The stream or category it reads.</summary>
    public required string Source { get; init; }

    /// <summary>What it is at.</summary>
    public required ProjectionState State { get; init; }

    /// <summary>More for people: what failed, at which entry it stopped, who runs it. <see langword="null"/>: there is no more to say.</summary>
    public string? Detail { get; init; }

    /// <summary>The generation that serves queries; 0 before the first one.</summary>
    public int Generation { get; init; }

    /// <summary>How far that generation has come.</summary>
    public ProjectionCheckpoint Checkpoint { get; init; }

    /// <summary>The last entry the source was given; 0-0: none.</summary>
    public EntryId Head { get; init; }

    /// <summary>
    /// Entries of the source that are not folded in yet; <see langword="null"/>: this process does not know, because another one runs the projection, or
    /// because the store or the target fails. Entries that were deleted unread can make it too large.
    /// </summary>
    public long? Lag { get; init; }

    /// <summary>
    /// The age of the first of them, by its ID, or by the message's time where the IDs of the source are no times; zero without lag,
    /// <see langword="null"/> where that is unknown.
    /// </summary>
    public TimeSpan? TimeLag { get; init; }

    /// <summary>The generation that a rebuild makes, or <see langword="null"/>: there is no rebuild.</summary>
    public int? BuildingGeneration { get; init; }

    /// <summary>How far the rebuild has come.</summary>
    public ProjectionCheckpoint BuildingCheckpoint { get; init; }

    /// <summary>Why the rebuild has stopped, or, in the process that runs it, what fails there and is tried again; or <see langword="null"/>.</summary>
    public string? BuildingFailure { get; init; }
}

/// <summary>An event that a projection passed over.</summary>
/// <param name="EntryId">Its entry in the source.</param>
/// <param name="Reason">Why, for people.</param>
public sealed record SkippedEvent(EntryId EntryId, string Reason);
