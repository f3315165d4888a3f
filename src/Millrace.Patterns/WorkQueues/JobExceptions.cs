namespace Millrace.WorkQueues;

/// <summary>A job that was waited for failed.</summary>
public sealed class JobFailedException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="status">The job.</param>
    public JobFailedException(JobStatus status)
        : base(Describe(status)) => Status = status;

    /// <summary>The job, with the errors of its attempts.</summary>
    public JobStatus Status { get; }

    private static string Describe(JobStatus status)
    {
        ArgumentNullException.ThrowIfNull(status);
        var last = status.Errors is [.., var error] ? $" The last error: {error.Error}" : "";
        return $"The job {status.Job.Id} of '{status.Job.Queue}' failed: {status.FailureReason}.{last}";
    }
}

/// <summary>A job that was waited for was cancelled.</summary>
public sealed class JobCancelledException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="status">The job.</param>
    public JobCancelledException(JobStatus status)
        : base($"The job {(status ?? throw new ArgumentNullException(nameof(status))).Job.Id} of '{status.Job.Queue}' was cancelled.") => Status = status;

    /// <summary>The job.</summary>
    public JobStatus Status { get; }
}

/// <summary>The store does not know a job: it was never enqueued, or ended so long ago that it was forgotten.</summary>
public sealed class JobNotFoundException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="job">The job.</param>
    public JobNotFoundException(JobReference job)
        : base($"The queue '{job.Queue}' knows no job {job.Id}: it was never enqueued, or has been forgotten.") => Job = job;

    /// <summary>The job.</summary>
    public JobReference Job { get; }
}
