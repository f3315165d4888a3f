namespace Millrace.WorkQueues;

/// <summary>A queue as the application added it.</summary>
internal sealed class JobQueueRegistration(string queue)
{
    private JobQueue? _made;

    public string Queue => queue;

    public JobQueueOptions Options { get; } = new();

    /// <summary>The queue, which the container has made before the host starts.</summary>
    public JobQueue Made
    {
        get => _made ?? throw new InvalidOperationException($"The job queue '{queue}' is used before the host has started.");
        set => _made = value;
    }
}
