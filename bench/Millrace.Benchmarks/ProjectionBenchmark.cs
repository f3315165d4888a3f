using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Streams;

namespace Millrace.Benchmarks;

/// <summary>Catching up with a category, into views of few keys and of many, and the way of one event from its append to the view.</summary>
internal static class ProjectionBenchmark
{
    private const int Events = 100_000;
    private const int AppendSize = 250;
    private const int Live = 2_000;

    public static async Task RunAsync()
    {
        Console.WriteLine("## Projections: events of 200 bytes folded into documents, journal and append-only file every second; batches of 500");
        Console.WriteLine();
        Report.Row("store", "events / s, 10 keys", "10,000 keys", "append to view seen, median ms", "99 % ms");
        Report.Row("---", "---:", "---:", "---:", "---:");
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
            Add(millrace, "few", 10);
            Add(millrace, "many", 10_000);
        });
        using var host = builder.Build();
        await host.StartAsync();
        var events = host.Services.GetRequiredService<EventStore>();
        var control = host.Services.GetRequiredService<ProjectionControl>();
        await WhenRunningAsync(control);
        await control.PauseAsync("few");
        await control.PauseAsync("many");
        var last = EntryId.Zero;
        for (var number = 0; number < Events; number += AppendSize)
            last = await AppendAsync(events, number, AppendSize);

        var few = await CatchUpAsync(control, "few", last);
        var many = await CatchUpAsync(control, "many", last);
        var times = new List<double>();
        for (var i = 0; i < Live; i++)
        {
            var start = Stopwatch.GetTimestamp();
            await control.WaitForAsync("few", await AppendAsync(events, i, 1), TimeSpan.FromSeconds(30));
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        times.Sort();
        Report.Row(name, few, many, Report.Median(times), times[times.Count * 99 / 100]);
        await host.StopAsync();
    }

    private static void Add(MillraceBuilder millrace, string name, int keys) => millrace.AddProjection<Total>(name, "kept", views => views
        .On<BenchMessage>((message, _) => [$"{message.Number % keys}"], static (total, message, _) => new((total?.Sum ?? 0) + message.Number)));

    private static async Task WhenRunningAsync(ProjectionControl control)
    {
        foreach (var projection in control.Local)
        {
            while ((await control.GetAsync(projection.Name)).State != ProjectionState.Live)
                await Task.Yield();
        }
    }

    private static async Task<EntryId> AppendAsync(EventStore events, int from, int count)
    {
        var messages = Enumerable.Range(from, count).Select(object (number) => new BenchMessage(number, 0, BenchMessage.Filling));
        return (await events.AppendAsync("kept-1", ExpectedVersion.Any, [.. messages])).Position!.Value;
    }

    /// <summary>Events a second.</summary>
    private static async Task<double> CatchUpAsync(ProjectionControl control, string projection, EntryId last)
    {
        var start = Stopwatch.GetTimestamp();
        await control.ResumeAsync(projection);
        await control.WaitForAsync(projection, last, TimeSpan.FromMinutes(10));
        return Events / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private sealed record Total(long Sum);
}
