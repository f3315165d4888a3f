using Millrace.Streams;

namespace Millrace;

/// <summary>A loss, as one group sees it.</summary>
public sealed class StreamLossEventArgs : EventArgs
{
    /// <summary>What was lost.</summary>
    public required StreamLossKind Kind { get; init; }

    /// <summary>The stream the group reads.</summary>
    public required string Stream { get; init; }

    /// <summary>The group.</summary>
    public required string Group { get; init; }

    /// <summary>
    /// Entries above this ID, up to <see cref="MissingThrough"/>, are not there any more and were not settled by the group, as far as is
    /// known: the consumers of a group note once a second where it stands.
    /// </summary>
    public required EntryId MissingAfter { get; init; }

    /// <summary>The last ID that is known to have been there. Equal to <see cref="MissingAfter"/>: no entry is missing.</summary>
    public required EntryId MissingThrough { get; init; }

    /// <summary>How many unsettled entries that were, or <see langword="null"/> when it is not known.</summary>
    public required long? MissingCount { get; init; }

    /// <summary>
    /// Retries and handed-back entries that were waiting in the group's private stream and are gone, with what was kept there for a dead letter
    /// (<see cref="DeadLetter.Omitted"/>).
    /// </summary>
    public required long MissingRetries { get; init; }
}
