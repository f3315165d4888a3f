namespace Millrace.WorkQueues;

/// <summary>Names a job, also one of another queue.</summary>
/// <param name="Queue">The queue it was enqueued in.</param>
/// <param name="Id">Its ID, unique in the queue.</param>
public readonly record struct JobReference(string Queue, string Id);
