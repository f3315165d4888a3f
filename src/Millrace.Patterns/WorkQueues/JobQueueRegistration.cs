namespace Millrace.WorkQueues;

/// <summary>A queue as the application added it.</summary>
internal sealed class JobQueueRegistration(string queue)
{
    private readonly Dictionary<string, JobOptions> _recurring = new(StringComparer.Ordinal);
    private JobQueue? _made;

    public string Queue => queue;

    public JobQueueOptions Options { get; } = new();

    /// <summary>The queue, which the container has made before the host starts.</summary>
    public JobQueue Made
    {
        get => _made ?? throw new InvalidOperationException($"The job queue '{queue}' is used before the host has started.");
        set => _made = value;
    }

    public void AddRecurring(string name, JobOptions options) => _recurring[name] = options;

    /// <summary>The options of a recurring job, whose firings have its name and moment for an ID.</summary>
    public JobOptions? OptionsOf(string id) =>
        id.LastIndexOf('@') is var at and > 0 ? _recurring.GetValueOrDefault(id[..at]) : null;
}
