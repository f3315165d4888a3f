using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Benchmarks;

/// <summary>Appends with an expected version, by one caller and by many on aggregates of their own; loads of an aggregate of 10,000 events.</summary>
internal static class EventSourcingBenchmark
{
    private const int Appends = 20_000;
    private const int Callers = 64;
    private const int Events = 10_000;
    private const int Loads = 20;

    // What a load finds after the snapshot, on average: half of what is between two of them.
    private const int Tail = 500;

    public static async Task RunAsync()
    {
        Console.WriteLine($"## Event sourcing: events of 200 bytes, journal and append-only file every second; each caller with an aggregate of its own");
        Console.WriteLine();
        Report.Row(
            "store", "appends / s, one caller", $"{Callers} callers", $"{Callers} callers, with a category",
            $"load of {Events + Tail:N0} events ms", "from a snapshot ms");
        Report.Row("---", "---:", "---:", "---:", "---:", "---:");
        for (var i = 0; i < Pairs.Count; i++)
        {
            using (var directory = new DiskDirectory())
                await MeasureAsync("embedded", millrace => millrace.UseEmbedded(directory.Path));
            await using (var server = await ServerProcess.StartRedisAsync("--appendonly", "yes", "--appendfsync", "everysec"))
                await MeasureAsync("redis-server", millrace => millrace.UseRedis($"127.0.0.1:{server.Port}"));
        }

        Console.WriteLine();
    }

    private static async Task MeasureAsync(string name, Action<MillraceBuilder> useStore)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddMillrace(millrace =>
        {
            useStore(millrace);
            millrace.AddMessage<BenchMessage>("bench.message", 1).AddEventStore(options => options.AddCategory("kept"));
        });
        using var host = builder.Build();
        await host.StartAsync();
        var events = host.Services.GetRequiredService<EventStore>();

        await AppendAsync(events, "warm", Callers);
        Report.Row(
            name,
            await AppendAsync(events, "one", 1),
            await AppendAsync(events, "many", Callers),
            await AppendAsync(events, "kept", Callers),
            await LoadAsync(events, "plain", null),
            await LoadAsync(events, "snapshots", new() { Every = 1_000 }));
        await host.StopAsync();
    }

    /// <summary>Appends a second.</summary>
    private static async Task<double> AppendAsync(EventStore events, string category, int callers)
    {
        var start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
        {
            for (var version = 0; version < Appends / callers; version++)
            {
                var result = await events.AppendAsync(
                    $"{category}-{caller}", ExpectedVersion.Exactly(version), [new BenchMessage(version, 0, BenchMessage.Filling)]);
                if (result.Outcome != AppendOutcome.Appended)
                    throw new InvalidOperationException($"{result}");
            }
        })));
        return Appends / callers * callers / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Milliseconds of one load, the median.</summary>
    private static async Task<double> LoadAsync(EventStore events, string category, SnapshotPolicy? snapshots)
    {
        var stream = $"{category}-1";
        var fold = new EventFold<Sum>(static () => new(0), static (sum, one) => new(sum.Total + ((BenchMessage)one).Number)) { Snapshots = snapshots };
        var decider = new Decider<Sum, int>(
            static (_, count) => [.. Enumerable.Range(0, count).Select(number => new BenchMessage(number, 0, BenchMessage.Filling))], fold);
        while (await events.GetVersionAsync(stream) < Events)
            await events.DecideAsync(stream, decider, 250);

        await events.AppendAsync(stream, ExpectedVersion.Any, decider.Decide(new(0), Tail));
        var times = new List<double>();
        for (var i = 0; i < Loads; i++)
        {
            var start = Stopwatch.GetTimestamp();
            var loaded = await events.LoadAsync(stream, fold);
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            if (loaded.Version < Events)
                throw new InvalidOperationException($"Only {loaded.Version} events were loaded.");
        }

        return Report.Median(times);
    }

    private sealed record Sum(long Total);
}
