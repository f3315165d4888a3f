using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Millrace.Projections;

/// <summary>
/// Whether every projection goes on, by what this process knows: it says nothing of one that another process runs. Degraded, not unhealthy: queries are
/// answered, if with what is old.
/// </summary>
internal sealed class ProjectionCheck(ProjectionControl control, TimeSpan? maxTimeLag) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var data = new Dictionary<string, object>();
        List<string> wrong = [];
        foreach (var report in control.Local)
        {
            var text = Describe(report);
            data[report.Name] = text;
            if (report.State is ProjectionState.Stopped or ProjectionState.Failing or ProjectionState.Paused ||
                report.BuildingFailure is not null || report.TimeLag > maxTimeLag)
                wrong.Add($"{report.Name} {text}");
        }

        return Task.FromResult(wrong.Count == 0
            ? HealthCheckResult.Healthy(data: data)
            : HealthCheckResult.Degraded(string.Join("; ", wrong), data: data));
    }

    private static string Describe(ProjectionReport report)
    {
        var behind = report.Lag is { } lag ? $"{lag} behind" : "how far behind is unknown";
        var text = $"{report.State.ToString().ToLowerInvariant()} at {report.Checkpoint.Position}, {behind}";
        if (report.Detail is { } detail)
            text += $": {detail}";
        return report.BuildingFailure is { } failure ? $"{text}; its rebuild has stopped or fails: {failure}" : text;
    }
}
