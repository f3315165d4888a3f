using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Millrace.EntityFrameworkCore;

/// <summary>Whether the outbox is relayed, by whichever process: the table is asked, not the relay of this one.</summary>
internal sealed class OutboxCheck<TDbContext>(Outbox<TDbContext> outbox, OutboxOptions options) : IHealthCheck
    where TDbContext : DbContext
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var status = await outbox.GetStatusAsync(cancellationToken).ConfigureAwait(false);
        var data = new Dictionary<string, object>
        {
            ["waiting"] = status.Waiting,
            ["parked"] = status.Parked,
            ["oldestAgeSeconds"] = status.OldestAge.TotalSeconds,
        };
        List<string> wrong = [];
        if (status.OldestAge >= options.DegradedAge)
            wrong.Add($"the oldest of {status.Waiting} rows has waited for {status.OldestAge:c}");
        if (status.Parked > 0)
            wrong.Add($"{status.Parked} rows are parked");
        return wrong.Count == 0 ? HealthCheckResult.Healthy(data: data) : HealthCheckResult.Degraded(string.Join("; ", wrong), data: data);
    }
}
