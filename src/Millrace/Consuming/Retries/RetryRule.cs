namespace Millrace;

/// <summary>
/// How failures of one class of exceptions are tried again. What is left out is as the group does it. See <see cref="ConsumerOptions.RetryRules"/>.
/// </summary>
public sealed record RetryRule
{
    /// <summary>
    /// The full name of the exception's class or of one of its base classes, as <see cref="Type.FullName"/> gives it:
    /// <c>System.TimeoutException</c>. Compared as text, so a name that no class has matches nothing.
    /// </summary>
    public required string Exception { get; init; }

    /// <summary>
    /// Attempts in all, whatever the earlier ones failed of, before the message goes to the dead letters; 1 to 1,000. One: with the first
    /// such failure, as <see cref="DeadLetterReasons.NotRetried"/>. Default: <see cref="ConsumerOptions.MaxAttempts"/>.
    /// </summary>
    public int? MaxAttempts { get; init; }

    /// <summary>The upper bound of the wait before the second attempt. Default: <see cref="ConsumerOptions.RetryBaseDelay"/>.</summary>
    public TimeSpan? BaseDelay { get; init; }

    /// <summary>The largest upper bound of the wait. Default: <see cref="ConsumerOptions.RetryMaxDelay"/>.</summary>
    public TimeSpan? MaxDelay { get; init; }
}
