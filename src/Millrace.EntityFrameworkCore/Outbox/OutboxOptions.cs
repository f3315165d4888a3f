using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>How the outbox of one <c>DbContext</c> is relayed by this process. Checked when the host starts.</summary>
public sealed class OutboxOptions
{
    /// <summary>
    /// Names the outbox in the store; for good, as a table is named. Must be set, to the same in all processes that relay one table: relays under two names
    /// do not know of each other, and would both publish every row. So the first one writes its name beside the table, and the host of one with another
    /// name does not start, or, where the database was away at its start, does not relay. Must be unique among the databases that publish to one store:
    /// otherwise relays get in each other's way, and one that dies at the wrong moment may publish a batch twice. There is no default, since the name of a
    /// class changes with the code.
    /// </summary>
    public string? Name { get; set; }

    /// <summary>
    /// Whether this process relays. Without it, it only writes rows, and tells relays elsewhere when <see cref="WakeUp"/> is set. Default: yes.
    /// </summary>
    public bool RunsRelay { get; set; } = true;

    /// <summary>
    /// How often a relay looks for rows that no wake-up told it of: those of processes that died after their commit, or of programs that do not use
    /// this class. One query of an index. Default 10 s; 10 ms to one day.
    /// </summary>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Rows that are relayed at once, 1 to 900; fewer when they have more than 16 MiB together. Default 500.</summary>
    public int BatchSize { get; set; } = 500;

    /// <summary>
    /// How long the other relays wait for one that died; one that has nothing to relay keeps nobody waiting. By the clock of the store, or twice that by
    /// their own where the clock of a Redis was set back. Default 5 s; 100 ms to one hour.
    /// </summary>
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often the store may refuse a row before it is parked, 1 to 1,000. A store that is away refuses nothing. Default 10.</summary>
    public int MaxAttempts { get; set; } = 10;

    /// <summary>
    /// The wait after the first refusal of a row; it doubles with each. Rows with the same partition key wait, too, or the whole stream when it is the
    /// stream
    /// that is refused. Default 1 s.
    /// </summary>
    public TimeSpan RetryBaseDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest of these waits, and of those after a failure of database or store. Default 1 minute.</summary>
    public TimeSpan RetryMaxDelay { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long rows are kept after they were relayed. Default: zero, they are deleted at once.</summary>
    public TimeSpan KeepRelayed { get; set; }

    /// <summary>The age of the oldest waiting row at which the health check says that the outbox is degraded. Default 1 minute.</summary>
    public TimeSpan DegradedAge { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Tells processes of each other's commits. Default: none, relays elsewhere find the rows with their next poll.</summary>
    public OutboxWakeUp? WakeUp { get; set; }

    internal void Check(string context)
    {
        Refuse(
            Name is not { Length: > 0 },
            nameof(Name),
            "is not set; give it one name for good, the same in all processes of this database, since relays under two names publish every row twice");
        Refuse(PollInterval < TimeSpan.FromMilliseconds(10) || PollInterval > TimeSpan.FromDays(1), nameof(PollInterval), "is 10 ms to one day");
        Refuse(BatchSize is < 1 or > 900, nameof(BatchSize), "is 1 to 900");
        Refuse(Lease < TimeSpan.FromMilliseconds(100) || Lease > TimeSpan.FromHours(1), nameof(Lease), "is 100 ms to one hour");
        Refuse(MaxAttempts is < 1 or > 1_000, nameof(MaxAttempts), "is 1 to 1,000");
        Refuse(RetryBaseDelay <= TimeSpan.Zero || RetryMaxDelay < RetryBaseDelay || RetryMaxDelay > TimeSpan.FromDays(1),
            nameof(RetryBaseDelay), "is above zero and at most RetryMaxDelay, which is at most one day");
        Refuse(KeepRelayed < TimeSpan.Zero || KeepRelayed > StreamLimits.MaxDuration, nameof(KeepRelayed), "is zero to ten years");
        StreamArguments.Check(OutboxNames.Lease(Name!));

        void Refuse(bool isWrong, string option, string rule)
        {
            if (isWrong)
                throw new MillraceConfigurationException([$"Outbox of {context}: {option} {rule}."]);
        }
    }
}
