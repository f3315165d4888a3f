using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Monitoring;

namespace Millrace.Tests.Projections;

/// <summary>What operators see of a projection without asking the store.</summary>
public sealed class ProjectionHealthTests
{
    [Fact]
    public async Task Projection_that_stops_is_told_by_health_checks_and_metrics()
    {
        var isHealed = false;
        await using var host = await ConsumerHost.StartAsync(m =>
        {
            m.Services.AddHealthChecks().AddMillraceProjections();
            m.AddMessage<PointsEarned>()
                .AddEventStore(options => options.AddCategory("points"))
                .AddProjection("tallies", "points", Tally.FoldsOf("", one =>
                {
                    if (one.Version == 3 && !Volatile.Read(ref isHealed))
                        throw new InvalidOperationException("unlucky");
                }));
        });
        using var recorder = new MeterRecorder(host);
        var control = host.Host.Services.GetRequiredService<ProjectionControl>();
        var health = host.Host.Services.GetRequiredService<HealthCheckService>();
        await host.Host.Services.GetRequiredService<EventStore>().AppendAsync(
            "points-1", ExpectedVersion.NoStream, [.. Enumerable.Range(1, 5).Select(object (amount) => new PointsEarned(amount, "test"))]);

        await Eventually.TrueAsync("it has stopped", () => new(control.Local[0].State == ProjectionState.Stopped));
        var sick = (await health.CheckHealthAsync(TestContext.Current.CancellationToken)).Entries["millrace-projections"];
        Assert.Equal(HealthStatus.Degraded, sick.Status);
        Assert.Contains("unlucky", sick.Description, StringComparison.Ordinal);
        await recorder.ScrapeUntilAsync(gauges => gauges.Contains("millrace.projection.state"));

        Volatile.Write(ref isHealed, true);
        await control.ResumeAsync("tallies", cancellationToken: TestContext.Current.CancellationToken);
        await control.WaitForAsync("tallies", null, Eventually.Deadline, TestContext.Current.CancellationToken);
        await Eventually.TrueAsync("it is healthy", async () =>
            (await health.CheckHealthAsync(TestContext.Current.CancellationToken)).Status == HealthStatus.Healthy);
    }
}
