namespace Millrace.WorkQueues;

/// <summary>Settings of a job queue, the same in every process that uses it. How its workers work is in <see cref="ConsumerOptions"/>.</summary>
public sealed class JobQueueOptions
{
    // So that an enqueue whose answer was lost finds the job when it asks again.
    internal static TimeSpan MinRetention { get; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// How long the store remembers a job and its result after it succeeded or was cancelled. Default: an hour. At least a minute. Costs about half a
    /// kilobyte of memory a job and what its result takes.
    /// </summary>
    public TimeSpan Retention { get; set; } = TimeSpan.FromHours(1);

    /// <summary>How long the store remembers a job that failed; its dead letter stays beyond that. Default: 7 days. At least a minute.</summary>
    public TimeSpan FailedRetention { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How long an attempt may take where the job does not say it, see <see cref="JobOptions.TimeLimit"/>. Default: an hour.</summary>
    public TimeSpan TimeLimit { get; set; } = TimeSpan.FromHours(1);

    /// <summary>
    /// The shortest time between two writes of one job's progress; of what is reported in between the last is written. Default: 500 ms. At least 10 ms.
    /// </summary>
    public TimeSpan ProgressInterval { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// Notes on jobs that ended, got on or are to be cancelled, for those who wait; older ones are dropped once a
    /// <see cref="MillraceOptions.RetentionInterval"/>. Default: 10,000, about a megabyte. At least 100.
    /// </summary>
    public long MaxNotes { get; set; } = 10_000;

    internal void Check(string queue)
    {
        try
        {
            JobOptions.CheckSpan(Retention, MinRetention, nameof(Retention));
            JobOptions.CheckSpan(FailedRetention, MinRetention, nameof(FailedRetention));
            JobOptions.CheckSpan(TimeLimit, TimeSpan.FromMilliseconds(1), nameof(TimeLimit));
            JobOptions.CheckSpan(ProgressInterval, TimeSpan.FromMilliseconds(10), nameof(ProgressInterval));
            ArgumentOutOfRangeException.ThrowIfLessThan(MaxNotes, 100, nameof(MaxNotes));
        }
        catch (ArgumentException exception)
        {
            throw new MillraceConfigurationException([$"Job queue '{queue}': {exception.Message}"]);
        }
    }
}
