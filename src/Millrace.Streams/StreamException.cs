namespace Millrace.Streams;

/// <summary>Why a store refused or failed a call. A closed set: every store maps onto it, once, from error codes and never from message text.</summary>
public enum StreamErrorCode
{
    /// <summary>The key holds another type of value: a state document where a stream is meant, or the reverse.</summary>
    WrongType,

    /// <summary>The stream does not exist, and the operation needs it.</summary>
    NoStream,

    /// <summary>The consumer group, or its whole stream, does not exist.</summary>
    NoGroup,

    /// <summary>The explicit entry ID is not above the stream's last ID, or the IDs of the stream are used up.</summary>
    IdNotIncreasing,

    /// <summary>A documented limit of <see cref="StreamLimits"/> or of the store is exceeded.</summary>
    LimitExceeded,

    /// <summary>The keys of a commit live in different hash slots of a cluster.</summary>
    CrossSlot,

    /// <summary>The store has no memory left for writes. Acks and trims still pass.</summary>
    OutOfMemory,

    /// <summary>The store takes no writes now: a replica, a store whose disk failed, or one that lost its quorum. Nothing was changed.</summary>
    ReadOnly,

    /// <summary>The store cannot be reached. Nothing was sent.</summary>
    Unavailable,

    /// <summary>
    /// The connection broke, or time ran out, after the request was sent; or the disk failed, or was full, while it was written: it may have been applied or
    /// not, or is applied later, when there is room.
    /// </summary>
    OutcomeUnknown,

    /// <summary>The store is starting or busy with a long script.</summary>
    Busy,

    /// <summary>Name or password was refused.</summary>
    AuthenticationFailed,

    /// <summary>The user lacks the right to a command or key.</summary>
    PermissionDenied,

    /// <summary>Another process holds the data directory.</summary>
    Locked,

    /// <summary>Stored data are damaged; the message names file and offset.</summary>
    Corrupt,

    /// <summary>The store was closed.</summary>
    Closed,

    /// <summary>The store answered with an error outside this list; the message carries its text.</summary>
    ServerError,
}

/// <summary>A store refused or failed a call.</summary>
public sealed class StreamException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="code">The reason.</param>
    /// <param name="message">What was wrong, where, and what to do.</param>
    /// <param name="innerException">The cause, if another exception was.</param>
    public StreamException(StreamErrorCode code, string message, Exception? innerException = null)
        : base(message, innerException) => Code = code;

    /// <summary>The reason.</summary>
    public StreamErrorCode Code { get; }

    /// <summary>
    /// Whether the same call may succeed later without anybody changing it. <see cref="StreamErrorCode.OutcomeUnknown"/> is transient,
    /// but a repeated append may then be applied twice; a commit with a condition cannot.
    /// </summary>
    public bool IsTransient => Code is StreamErrorCode.Unavailable or StreamErrorCode.OutcomeUnknown or StreamErrorCode.Busy
        or StreamErrorCode.OutOfMemory or StreamErrorCode.ReadOnly;
}
