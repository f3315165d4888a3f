using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>What may be said about a job besides the job itself. Everything is optional.</summary>
public sealed record JobOptions
{
    /// <summary>
    /// Its ID. A job that is enqueued under an ID the queue knows is the job there is, so a caller that repeats itself enqueues once. Default: a new
    /// UUID version 7.
    /// </summary>
    public string? Id { get; init; }

    /// <summary>Lets the job wait this long first, by the store's clock; after the jobs it runs after. Default: not at all.</summary>
    public TimeSpan? Delay { get; init; }

    /// <summary>
    /// A key that one job of the queue has at a time: whoever enqueues another one gets the handle of the first. Default: none.
    /// </summary>
    public string? UniqueKey { get; init; }

    /// <summary>How long the job keeps its <see cref="UniqueKey"/>. Default: until it ended.</summary>
    public UniqueUntil UniqueUntil { get; init; }

    /// <summary>
    /// Keeps the <see cref="UniqueKey"/> for this long from now on, whatever becomes of the job, in place of <see cref="UniqueUntil"/>. Default: not set.
    /// </summary>
    public TimeSpan? UniqueWindow { get; init; }

    /// <summary>
    /// Jobs that must have ended before this one runs, at most <see cref="MaxParents"/>; of other queues, too, on a cluster of the same hash slot. They must
    /// be there, so no job ever waits for itself. Default: none.
    /// </summary>
    public IReadOnlyList<JobReference> After { get; init; } = [];

    /// <summary>What becomes of this job when one of <see cref="After"/> does not succeed. Default: it fails, too.</summary>
    public ParentFailure OnParentFailure { get; init; }

    /// <summary>
    /// How long an attempt may take before its token is cancelled and it counts as failed. Default: as <see cref="JobQueueOptions.TimeLimit"/>.
    /// </summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>
    /// How long the store remembers the job and its result after it succeeded or was cancelled. Default: as <see cref="JobQueueOptions.Retention"/>.
    /// </summary>
    public TimeSpan? Retention { get; init; }

    /// <summary>The conversation the job belongs to. Default: it starts one; enqueued by a handler, that of the message handled.</summary>
    public string? CorrelationId { get; init; }

    /// <summary>Jobs one job can wait for. All of them are read when it is enqueued.</summary>
    public const int MaxParents = 100;

    /// <summary>
    /// Jobs that can wait for one job. All of them are let go in the commit in which it ends, by up to three changes each, so what its handler adds to that
    /// commit must leave room: 1,000 changes in all. For more, let them wait for some jobs that wait for this one.
    /// </summary>
    public const int MaxChildren = 200;

    internal void Check()
    {
        if (Id is { Length: 0 } || UniqueKey is { Length: 0 })
            throw new ArgumentException("The ID and the unique key of a job are not empty.");
        if (After.Count > MaxParents)
            throw new ArgumentException($"The job is to run after {After.Count} jobs; {MaxParents} are allowed.");
        if (UniqueWindow is not null && UniqueKey is null)
            throw new ArgumentException("UniqueWindow is for jobs with a UniqueKey.");
        CheckSpan(Delay, TimeSpan.Zero, nameof(Delay));
        CheckSpan(UniqueWindow, TimeSpan.FromMilliseconds(1), nameof(UniqueWindow));
        CheckSpan(TimeLimit, TimeSpan.FromMilliseconds(1), nameof(TimeLimit));
        CheckSpan(Retention, JobQueueOptions.MinRetention, nameof(Retention));
    }

    internal static void CheckSpan(TimeSpan? value, TimeSpan min, string name)
    {
        if (value is { } span && (span < min || span > StreamLimits.MaxDuration))
            throw new ArgumentException($"{name} is {span}; it must be {min} to {StreamLimits.MaxDuration}.");
    }
}

/// <summary>How long a job keeps its unique key.</summary>
public enum UniqueUntil
{
    /// <summary>Until it succeeded, failed for good or was cancelled: no two jobs of the key are under way.</summary>
    Done,

    /// <summary>Until its first attempt begins: whatever happens meanwhile is not missed by the job that comes after.</summary>
    Started,

    /// <summary>Until the store forgets it, see <see cref="JobOptions.Retention"/>.</summary>
    Forgotten,
}

/// <summary>What becomes of a job when one that it is to run after failed or was cancelled.</summary>
public enum ParentFailure
{
    /// <summary>It fails without running, and so on with what is to run after it.</summary>
    Fail,

    /// <summary>It runs all the same.</summary>
    Run,

    /// <summary>It stays blocked until the other one was redriven and succeeded, or it is cancelled itself.</summary>
    Stay,
}
