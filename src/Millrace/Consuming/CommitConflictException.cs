using Millrace.Streams;

namespace Millrace;

/// <summary>
/// What a commit depends on changed meanwhile, such as a state document since it was read, so nothing was applied. Thrown by
/// <see cref="MessageContext.AckAsync"/>; a handler lets it pass and is run again at once with fresh state. A handler may throw it, too.
/// </summary>
public sealed class CommitConflictException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="condition">The condition that did not hold.</param>
    public CommitConflictException(CommitCondition condition)
        : base($"Nothing was applied: it no longer holds that {condition ?? throw new ArgumentNullException(nameof(condition))}.") =>
        Condition = condition;

    /// <summary>The condition that did not hold.</summary>
    public CommitCondition Condition { get; }
}
