using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>What a projection is at in this process.</summary>
internal sealed class ProjectionStatus(ProjectionDefinition definition)
{
    private readonly Lock _lock = new();
    private ProjectionReport _report = new() { Name = definition.Name, Source = definition.Source, State = ProjectionState.Idle };
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>As last seen here; what concerns the store only while this process runs the projection.</summary>
    public ProjectionReport Report
    {
        get
        {
            lock (_lock)
                return _report;
        }
    }

    /// <summary>Whether this process runs the projection.</summary>
    public bool IsRunning => Report.State is not (ProjectionState.Idle or ProjectionState.StandingBy or ProjectionState.Stopping);

    /// <summary>Ends with the next change. Take it before the report that decides whether to wait.</summary>
    public Task Changed
    {
        get
        {
            lock (_lock)
                return _changed.Task;
        }
    }

    public void Change(Func<ProjectionReport, ProjectionReport> change)
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            _report = change(_report);
            (changed, _changed) = (_changed, new(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        changed.SetResult();
    }

    /// <summary>What it is at when nobody looks at the source: how far behind it is, is not known any more.</summary>
    public void Become(ProjectionState state, string? detail = null) =>
        Change(report => report with { State = state, Detail = detail, Lag = null, TimeLag = null });
}
