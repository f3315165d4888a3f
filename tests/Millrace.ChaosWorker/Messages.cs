namespace Millrace.ChaosWorker;

/// <summary>What a job does to its handler.</summary>
public enum JobKind
{
    Works,

    /// <summary>Fails as often as <see cref="Job.Failures"/> says, then works.</summary>
    FailsFirst,

    /// <summary>Fails until it is a dead letter.</summary>
    FailsAlways,

    /// <summary>Is rejected at once.</summary>
    Rejected,

    /// <summary>Ends the process in the group <see cref="Job.Victim"/>, and works in others.</summary>
    Kills,
}

/// <summary>Work.</summary>
/// <param name="Key">The key whose state it changes.</param>
/// <param name="Kind">What it does to its handler.</param>
/// <param name="Failures">Attempts that fail, of <see cref="JobKind.FailsFirst"/>.</param>
/// <param name="WorkMs">How long it takes.</param>
/// <param name="IsDeaf">Whether the handler does not listen to its token: it goes on after its lease was lost.</param>
/// <param name="Victim">The group whose process it ends, of <see cref="JobKind.Kills"/>.</param>
[Message("chaos.job")]
public sealed record Job(string Key, JobKind Kind, int Failures, int WorkMs, bool IsDeaf, string Victim = "")
{
    /// <summary>The attempt that ends it.</summary>
    public int LastAttempt => Kind switch
    {
        JobKind.FailsFirst => Failures + 1,
        JobKind.FailsAlways => ChaosWorkload.MaxAttempts,
        _ => 1,
    };
}

/// <summary>The output of a job: published in the commit that acknowledges it.</summary>
/// <param name="Message">The job's message ID.</param>
/// <param name="Key">The job's key.</param>
/// <param name="Deliveries">The delivery that was committed.</param>
/// <param name="Attempt">The attempt that was.</param>
[Message("chaos.done")]
public sealed record Done(string Message, string Key, long Deliveries, int Attempt);

/// <summary>The state of a key in a group: the messages that changed it, in order.</summary>
public sealed record Ledger(List<string> Messages);
