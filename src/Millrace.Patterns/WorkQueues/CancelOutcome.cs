namespace Millrace.WorkQueues;

/// <summary>What came of the wish to cancel a job.</summary>
public enum CancelOutcome
{
    /// <summary>It had not begun, and never will: it has ended as cancelled.</summary>
    Cancelled,

    /// <summary>
    /// It runs, and its worker is told: its token is cancelled at once as a rule, and within 5 seconds where the note to the worker was lost. A handler
    /// that returns all the same has succeeded.
    /// </summary>
    Requested,

    /// <summary>It runs, and was asked to end before.</summary>
    AlreadyRequested,

    /// <summary>It was cancelled before.</summary>
    AlreadyCancelled,

    /// <summary>It had succeeded or failed.</summary>
    TooLate,

    /// <summary>The queue does not know it, or has forgotten it.</summary>
    NotFound,
}
