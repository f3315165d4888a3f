using System.Globalization;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.Consuming;
using Millrace.Hosting;

namespace Millrace.Monitoring.Health;

/// <summary>
/// Whether every consumer reads, and all lanes of its stream. Degraded, not unhealthy, while one does not: it goes on trying, and the rest of the
/// application works.
/// </summary>
internal sealed class ConsumerCheck(MillraceService service) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var data = new Dictionary<string, object>();
        List<string> wrong = [.. service.LanesMissed];
        foreach (var status in service.Consumers)
        {
            var text = Describe(status, out var isReading);
            var name = $"{status.Plan.Stream}/{status.Plan.Group}";
            data[name] = text;
            if (!isReading)
                wrong.Add($"{name} {text}");
        }

        return Task.FromResult(wrong.Count == 0
            ? HealthCheckResult.Healthy(data: data)
            : HealthCheckResult.Degraded(string.Join("; ", wrong), data: data));
    }

    private static string Describe(WorkerStatus status, out bool isReading)
    {
        var (state, since, detail) = status.Current;
        isReading = state is WorkerState.Reading or WorkerState.StandingBy;
        var text = string.Create(CultureInfo.InvariantCulture, $"{state.ToString().ToLowerInvariant()} since {since.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ}");
        return detail is null ? text : $"{text}: {detail}";
    }
}
