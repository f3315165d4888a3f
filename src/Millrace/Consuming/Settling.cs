using Millrace.Consuming;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// A message that is about to be settled, for <see cref="ConsumerOptions.OnSettling"/>: what is to become of it, and what joins the commit that does it.
/// </summary>
public sealed class Settling
{
    private readonly SettleAction _action;

    internal Settling(MessageContext message, SettleAction action, int run) => (Message, _action, Run) = (message, action, run);

    /// <summary>
    /// The message. The handler's own context where a handler ran; what is published with it now leaves with nothing. Its data may be unreadable.
    /// </summary>
    public MessageContext Message { get; }

    /// <summary>What is to become of the message.</summary>
    public SettlingOutcome Outcome => _action switch
    {
        SettleAction.Retry => SettlingOutcome.Retried,
        SettleAction.DeadLetter => SettlingOutcome.DeadLettered,
        _ => SettlingOutcome.Acknowledged,
    };

    /// <summary>What went wrong, if something did.</summary>
    public Exception? Error => (_action as SettleAction.Retry)?.Error ?? (_action as SettleAction.DeadLetter)?.Error;

    /// <summary>When a message that is retried is due again.</summary>
    public TimeSpan? Delay => (_action as SettleAction.Retry)?.Delay;

    /// <summary>Why a message becomes a dead letter.</summary>
    public string? Reason => (_action as SettleAction.DeadLetter)?.Reason;

    /// <summary>1, and one more each time that something required by the run before did not hold.</summary>
    public int Run { get; }

    internal List<CommitCondition> Conditions { get; } = [];

    internal List<CommitChange> Changes { get; } = [];

    /// <summary>Adds a change to the commit.</summary>
    /// <param name="change">The change; on a cluster, in the hash slot of the stream.</param>
    public void Enlist(CommitChange change)
    {
        ArgumentNullException.ThrowIfNull(change);
        Changes.Add(change);
    }

    /// <summary>Makes the commit depend on something. Where it does not hold nothing is applied, and the callback is called again, not the handler.</summary>
    /// <param name="condition">The condition; on a cluster, in the hash slot of the stream.</param>
    public void Require(CommitCondition condition)
    {
        ArgumentNullException.ThrowIfNull(condition);
        Conditions.Add(condition);
    }
}

/// <summary>What is to become of a message.</summary>
public enum SettlingOutcome
{
    /// <summary>It was handled.</summary>
    Acknowledged,

    /// <summary>It failed and comes back to the group.</summary>
    Retried,

    /// <summary>It failed for good.</summary>
    DeadLettered,
}
