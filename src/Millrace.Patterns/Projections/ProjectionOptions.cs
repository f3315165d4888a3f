namespace Millrace.Projections;

/// <summary>What becomes of an event that cannot be decoded or folded in.</summary>
public enum WhenPoisoned
{
    /// <summary>The projection stops before it and says so, until somebody resumes it, skips the event, or another process takes over.</summary>
    Stop,

    /// <summary>It is passed over and recorded, see <see cref="ProjectionControl.GetSkippedAsync"/>.</summary>
    Skip,
}

/// <summary>What happens when entries were trimmed from the source that were not folded in.</summary>
public enum WhenTrimmed
{
    /// <summary>The projection stops and says so, until somebody accepts the loss, see <see cref="ProjectionControl.ResumeAsync"/>.</summary>
    Stop,

    /// <summary>It logs an error, counts it, and goes on with the first entry there is. A source that was deleted stops it all the same.</summary>
    GoOn,
}

/// <summary>Settings of a projection, wherever it keeps its read model.</summary>
public class ProjectionOptions
{
    /// <summary>
    /// The version of the read model's shape. Raise it when the fold or the view's class changes: the first process with the new version that runs the
    /// projection, as soon as none with the old one does, begins a rebuild, during which the old generation serves queries as it is. Processes with an older
    /// version then stand by for good. Default: 1. At least 1.
    /// </summary>
    public int Version { get; set; } = 1;

    /// <summary>
    /// Events at most that are read, folded and saved at once; fewer where they weigh more than a mebibyte together, and at first, until their size is
    /// known. The documents they change must fit a commit: lower it when those are large. Default: 500. 1 to 5,000.
    /// </summary>
    public int BatchSize { get; set; } = 500;

    /// <summary>What becomes of an event that cannot be decoded or folded in. Default: the projection stops.</summary>
    public WhenPoisoned WhenPoisoned { get; set; }

    /// <summary>What happens when entries were trimmed unread. Default: the projection stops.</summary>
    public WhenTrimmed WhenTrimmed { get; set; }

    /// <summary>Whether events of names that no <c>AddMessage</c> registered are passed over without a word. Default: no, they are poison.</summary>
    public bool IgnoresUnknownTypes { get; set; }

    /// <summary>
    /// For how long the process that runs the projection may be silent before another takes over, by the store's clock, or twice that by the other's own
    /// where the clock of a Redis was set back. Renewed each third of it, and those that stand by look as often, or every 5 s if that is more: two round
    /// trips each. Default: 10 s. 500 ms to an hour.
    /// </summary>
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How often <see cref="ProjectionControl.WaitForAsync"/> asks the store, in processes that do not run the projection; two round trips each time.
    /// Default: 50 ms. At least 1 ms.
    /// </summary>
    public TimeSpan WaitInterval { get; set; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Whether this process may run the projection. Where it may not, queries, waits and control work as everywhere. Default: it may.</summary>
    public bool RunsHere { get; set; } = true;

    internal virtual IEnumerable<string> Errors()
    {
        if (Version < 1)
            yield return $"Version is {Version}; it must be at least 1.";
        if (BatchSize is < 1 or > 5_000)
            yield return $"BatchSize is {BatchSize}; it must be 1 to 5,000.";
        if (Lease < TimeSpan.FromMilliseconds(500) || Lease > TimeSpan.FromHours(1))
            yield return $"Lease is {Lease}; it must be 500 ms to an hour.";
        if (WaitInterval < TimeSpan.FromMilliseconds(1))
            yield return $"WaitInterval is {WaitInterval}; it must be at least 1 ms.";
    }
}
