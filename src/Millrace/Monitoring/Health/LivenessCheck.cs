using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.Consuming;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Monitoring.Health;

/// <summary>
/// Whether a restart of the process would help: its disk failed, or a consumer died. A full disk or a server that is away heals without one.
/// </summary>
internal sealed class LivenessCheck(IStreamStore store, MillraceService service) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(Check());

    private HealthCheckResult Check()
    {
        if (store is EmbeddedStreamStore { Health: { State: StoreState.DiskFailed, Reason: var reason } })
            return HealthCheckResult.Unhealthy(reason);
        var died = service.Consumers.Where(static status => status.Current.State == WorkerState.Died)
            .Select(static status => $"{status.Plan.Stream}/{status.Plan.Group}").ToList();
        return died.Count == 0
            ? HealthCheckResult.Healthy()
            : HealthCheckResult.Unhealthy($"Consumers ended that nobody stopped: {string.Join(", ", died)}.");
    }
}
