using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>How a replay went, beside what had really happened.</summary>
public sealed record ShadowReport
{
    /// <summary>Entries replayed.</summary>
    public required int Replayed { get; init; }

    /// <summary>
    /// Of these, entries whose outcome and outputs are what they were. What they wrote into state documents is not part of it, see
    /// <see cref="DifferentDocuments"/>; nor are outputs the group made on streams that the handlers do not publish to any more, unless
    /// <see cref="ShadowReplayOptions.OutputStreams"/> names them.
    /// </summary>
    public required int Same { get; init; }

    /// <summary>Of these, entries the live group has not settled, so that there is nothing to compare with.</summary>
    public required int Unsettled { get; init; }

    /// <summary>Entries that differ; <see cref="Differences"/> may tell several of one, or not all.</summary>
    public int Different => Replayed - Same - Unsettled;

    /// <summary>What differs, in the order of the entries, as many as <see cref="ShadowReplayOptions.MaxDifferences"/>.</summary>
    public required IReadOnlyList<ShadowDifference> Differences { get; init; }

    /// <summary>
    /// Those of <see cref="ShadowReplayOptions.FinalDocuments"/> that are not after the replay what they are in the live store: with other content, or
    /// there in one of them only.
    /// </summary>
    public IReadOnlyList<StateKey> DifferentDocuments { get; init; } = [];
}

/// <summary>One thing that went otherwise.</summary>
/// <param name="Kind">What.</param>
/// <param name="EntryId">The entry of the message handled.</param>
/// <param name="MessageId">The message handled.</param>
/// <param name="Detail">For people.</param>
public sealed record ShadowDifference(ShadowDifferenceKind Kind, EntryId EntryId, string MessageId, string Detail)
{
    /// <summary>The output that is meant, as it really was; <see langword="null"/>: none, or none like it.</summary>
    public MessageHeaders? Live { get; init; }

    /// <summary>The output that is meant, as the replay made it; <see langword="null"/>: none, or none like it.</summary>
    public MessageHeaders? Shadow { get; init; }
}

/// <summary>What can differ.</summary>
public enum ShadowDifferenceKind
{
    /// <summary>It was handled, and is a dead letter in the replay.</summary>
    NowFails,

    /// <summary>It was a dead letter, and is handled in the replay.</summary>
    NowSucceeds,

    /// <summary>It was settled, and in the replay still waits when its time is over.</summary>
    NotSettled,

    /// <summary>The replay made an output that there was not.</summary>
    NewOutput,

    /// <summary>The replay did not make an output that there was.</summary>
    MissingOutput,

    /// <summary>An output has another type, version or content, or went to another stream.</summary>
    ChangedOutput,
}
