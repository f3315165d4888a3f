namespace Millrace.WorkQueues;

/// <summary>Where a job stands.</summary>
public enum JobState
{
    /// <summary>It is in the queue, and the next worker that is free takes it.</summary>
    Waiting,

    /// <summary>Its delay is not over; or an attempt failed and the next one is due later.</summary>
    Delayed,

    /// <summary>Jobs it is to run after have not ended.</summary>
    Blocked,

    /// <summary>
    /// A worker has it. Also when that worker died, or handed the job back as it stopped, until another one begins with it, which takes a lease at
    /// most where workers are free.
    /// </summary>
    Running,

    /// <summary>Its handler returned, and all its effects are in the store.</summary>
    Succeeded,

    /// <summary>
    /// Its last attempt failed, it is among the dead letters, and can be redriven; or a job it was to run after did not succeed.
    /// </summary>
    Failed,

    /// <summary>It was cancelled. None of its effects is in the store.</summary>
    Cancelled,
}
