using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;
using Millrace.EventSourcing;
using Millrace.OutboxWorker;
using Millrace.Projections;
using Millrace.Tests.Consuming;
using Millrace.Tests.EntityFrameworkCore;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Projections;
using Millrace.Tests.Tidy;

namespace Millrace.Tests.Monitoring;

/// <summary>The table of instruments is public API: it lists what there is, and nothing else.</summary>
public sealed class TelemetryDocumentTests
{
    [Fact]
    public async Task Every_instrument_is_in_the_table_with_its_kind_and_unit()
    {
        await using var database = await TestDatabase.OnSqliteAsync();
        await using var host = await ConsumerHost.StartAsync(
            m =>
            {
                m.Services.AddDbContext<ShopDb>(database.Configure);
                m.AddConsumer<OrderCreated>("orders", "billing", static (_, _, _) => Task.CompletedTask)
                    .AddOutbox<ShopDb>(outbox => outbox.Name = "shop").AddProjection("tallies", "tallies", Tally.Folds).AddEventStore();
            });
        host.Host.Services.GetRequiredService<EventStore>();
        using var recorder = new MeterRecorder(host);
        await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);

        var rows = Repository.Read("docs/telemetry.md").Split('\n')
            .Where(static line => line.StartsWith("| `messaging.", StringComparison.Ordinal) || line.StartsWith("| `millrace.", StringComparison.Ordinal))
            .Select(static line => string.Join('|', line.Split('|')[..4]).TrimEnd());
        var instruments = recorder.Instruments.Select(static instrument => $"| `{instrument.Name}` | {Kind(instrument)} | `{instrument.Unit}`");

        Assert.Equal(instruments.Order(StringComparer.Ordinal), rows.Order(StringComparer.Ordinal));
        Assert.All(recorder.Instruments, static instrument => Assert.NotEmpty(instrument.Description!));
    }

    private static string Kind(Instrument instrument) => instrument switch
    {
        Counter<long> => "counter",
        Histogram<double> => "histogram",
        ObservableGauge<long> or ObservableGauge<double> => "gauge",
        _ => instrument.GetType().Name,
    };
}
