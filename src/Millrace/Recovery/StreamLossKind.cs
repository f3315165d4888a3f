namespace Millrace;

/// <summary>What a store forgot.</summary>
public enum StreamLossKind
{
    /// <summary>The group alone: it was made again behind what it had settled, so nothing is missing. What was pending is handled again.</summary>
    GroupVanished,

    /// <summary>Entries: the stream is gone, is another one under the old name, or its IDs went back.</summary>
    EntriesVanished,

    /// <summary>Entries that were deleted or trimmed while they were pending for the group.</summary>
    PendingDeleted,
}
