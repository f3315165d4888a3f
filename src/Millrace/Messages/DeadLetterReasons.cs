namespace Millrace;

/// <summary>
/// The reasons the framework itself gives in <see cref="EnvelopeFieldNames.DeadReason"/>. A handler that rejects gives its own.
/// </summary>
public static class DeadLetterReasons
{
    /// <summary>The handler failed as often as <see cref="ConsumerOptions.MaxAttempts"/> allows.</summary>
    public const string AttemptsExhausted = "attempts exhausted";

    /// <summary>The handler failed with an exception that <see cref="ConsumerOptions.RetryRules"/> give no second attempt.</summary>
    public const string NotRetried = "not retried";

    /// <summary>
    /// The entry was delivered more often than <see cref="ConsumerOptions.MaxDeliveries"/> and never settled: it may have killed its
    /// consumers.
    /// </summary>
    public const string DeliveryLimit = "delivery limit";

    /// <summary>An operator gave up a message that kept its key of an ordered group parked, see <see cref="GroupParkedKeys.SkipAsync"/>.</summary>
    public const string Skipped = "skipped";

    /// <summary>
    /// The handler failed, and the entry is too large to be tried again: another program wrote it with more than a store of ours takes
    /// (<see cref="Streams.StreamLimits.MaxFields"/>, <see cref="Streams.StreamLimits.MaxEntryBytes"/>).
    /// </summary>
    public const string TooLarge = "too large";

    /// <summary>The entry has no <c>type</c>, or one that no message is registered under.</summary>
    public const string UnknownType = "unknown type";

    /// <summary>The type is known, but not in this version, or only handlers of an older version exist.</summary>
    public const string UnknownVersion = "unknown version";

    /// <summary>The data are missing, of another media type, or cannot be read as the message.</summary>
    public const string UndecodableData = "undecodable data";
}
