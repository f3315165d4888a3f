namespace Millrace.Streams;

/// <summary>
/// Conditions and changes a store applies all together or not at all, in the order given, at one moment. The heart of the contract:
/// retry, dead letter, outputs with the ack, inbox, expected versions and saga steps are all commits.
/// </summary>
public sealed record Commit
{
    /// <summary>What must hold. Default: nothing. All are checked before anything is changed.</summary>
    public IReadOnlyList<CommitCondition> Conditions { get; init; } = [];

    /// <summary>What to do, in order; 1 to <see cref="StreamLimits.MaxCommitChanges"/> changes.</summary>
    public required IReadOnlyList<CommitChange> Changes { get; init; }

    /// <summary>
    /// Whether this is what a group must write to go on, such as a retry, a dead letter or a lease, and not something new: a store that is full takes it
    /// nevertheless, while it refuses publishers, for nothing makes room but consumers that go on. Redis takes it always; the embedded store takes
    /// documents always, and entries up to a sixteenth above its limit, as it does with any commit that settles a delivery. Default: no.
    /// </summary>
    public bool IsUpkeep { get; init; }
}

/// <summary>
/// What became of a commit. Conflicts and refusals are data, not exceptions, so that one commit of a list cannot take its neighbours down.
/// </summary>
public sealed record CommitResult
{
    private CommitResult()
    {
    }

    /// <summary>Whether all changes were applied. Otherwise none was.</summary>
    public bool IsApplied => Conflict is null && Failure is null;

    /// <summary>The IDs of the appended entries, one for each <see cref="CommitChange.Append"/>, in order. Empty unless applied.</summary>
    public IReadOnlyList<EntryId> Ids { get; private init; } = [];

    /// <summary>The first condition that did not hold, or <see langword="null"/>.</summary>
    public CommitCondition? Conflict { get; private init; }

    /// <summary>
    /// Why the store refused this commit, or <see langword="null"/>: for good (<see cref="StreamErrorCode.WrongType"/>,
    /// <see cref="StreamErrorCode.IdNotIncreasing"/>, <see cref="StreamErrorCode.PermissionDenied"/>,
    /// <see cref="StreamErrorCode.LimitExceeded"/>, <see cref="StreamErrorCode.CrossSlot"/>) or for now, see
    /// <see cref="StreamException.IsTransient"/>. Where a list takes Redis more than one round trip and the line breaks between them, those that could
    /// not be sent any more have <see cref="StreamErrorCode.Unavailable"/>.
    /// </summary>
    public StreamException? Failure { get; private init; }

    /// <summary>All changes were applied.</summary>
    /// <param name="ids">The IDs of the appended entries, in order.</param>
    public static CommitResult Applied(IReadOnlyList<EntryId> ids) => new() { Ids = ids };

    /// <summary>A condition did not hold; nothing was changed.</summary>
    /// <param name="condition">The condition.</param>
    public static CommitResult Conflicted(CommitCondition condition) => new() { Conflict = condition };

    /// <summary>The store refused; nothing was changed.</summary>
    /// <param name="failure">Why.</param>
    public static CommitResult Failed(StreamException failure) => new() { Failure = failure };
}
