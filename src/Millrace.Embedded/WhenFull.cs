namespace Millrace.Embedded;

/// <summary>What becomes of a publisher when the keys take more than <see cref="EmbeddedStoreOptions.MaxMemoryBytes"/>.</summary>
public enum WhenFull
{
    /// <summary>It is refused at once, with <see cref="Streams.StreamErrorCode.OutOfMemory"/>: it may send again later.</summary>
    Reject = 0,

    /// <summary>
    /// It waits until there is room, in the order in which publishers came, for <see cref="EmbeddedStoreOptions.MaxWaitWhenFull"/> at most; then it
    /// is refused.
    /// </summary>
    Wait = 1,
}
