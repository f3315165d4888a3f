namespace Millrace.Embedded;

/// <summary>Whether an <see cref="EmbeddedStreamStore"/> takes writes.</summary>
/// <param name="State">Whether it does, and when it will again.</param>
/// <param name="Reason">What is wrong, in words for an operator; <see langword="null"/> while it takes writes.</param>
public readonly record struct StoreHealth(StoreState State, string? Reason);

/// <summary>What its disk and its memory let a store do.</summary>
public enum StoreState
{
    /// <summary>It takes writes, or will when it is opened.</summary>
    Writable,

    /// <summary>
    /// The keys take more than <see cref="EmbeddedStoreOptions.MaxMemoryBytes"/>, and publishers wait for room, as <see cref="WhenFull.Wait"/> says. So does
    /// every store at its limit, now and then; those that get no room in time are refused.
    /// </summary>
    PublishersWait,

    /// <summary>
    /// The keys take more than <see cref="EmbeddedStoreOptions.MaxMemoryBytes"/>: publishers are refused until enough is trimmed or deleted.
    /// </summary>
    MemoryFull,

    /// <summary>
    /// The disk is full, or the quota used up: writes fail with <see cref="Streams.StreamErrorCode.ReadOnly"/>. The store tries again once a second
    /// and goes on by itself when there is room; what was under way (<see cref="Streams.StreamErrorCode.OutcomeUnknown"/>) is kept and written then.
    /// </summary>
    DiskFull,

    /// <summary>The disk failed: writes fail with <see cref="Streams.StreamErrorCode.ReadOnly"/> until the process is restarted.</summary>
    DiskFailed,
}
