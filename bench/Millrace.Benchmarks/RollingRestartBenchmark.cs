using System.Collections.Concurrent;
using System.Diagnostics;

namespace Millrace.Benchmarks;

/// <summary>
/// Three processes' worth of hosts under load, replaced one after the other: how long a message waits for its handler. More is held than runs
/// at any moment, so what a stopping host kept instead of handing it back would wait for its lease, and show.
/// </summary>
internal static class RollingRestartBenchmark
{
    private const int Hosts = 3;
    private const int Restarts = 12;
    private const int Burst = 8;

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Work = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan BetweenRestarts = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    public static async Task RunAsync()
    {
        Console.WriteLine($"## Rolling restart: {Restarts} of {Hosts} hosts, one a second, under {Burst / Interval.TotalSeconds:N0} messages/s, lease of 30 s");
        Console.WriteLine();
        Report.Row("server", "messages", "delay to the handler ms, p50", "p99", "longest", "goal, p99", "handled twice");
        Report.Row("---", "---:", "---:", "---:", "---:", "---:", "---:");
        for (var i = 0; i < Pairs.Count; i++)
        {
            await using (var redis = await ServerProcess.StartRedisAsync())
                await MeasureAsync("redis-server", redis);
            await using (var millrace = await ServerProcess.StartMillraceAsync())
                await MeasureAsync("millrace serve", millrace);
        }

        Console.WriteLine();
    }

    private static async Task MeasureAsync(string name, ServerProcess server)
    {
        var delays = new ConcurrentDictionary<long, double>();
        var doubled = 0;
        var hosts = new List<BenchHost>();
        for (var i = 0; i < Hosts; i++)
            hosts.Add(await StartAsync());
        await using var publisher = await BenchHost.StartOnRedisAsync(
            $"127.0.0.1:{server.Port}", static (_, _) => Task.CompletedTask, static _ => { }, "nothing-comes-here");
        using var end = new CancellationTokenSource();
        var publishing = Task.Run(() => PublishUntilAsync(publisher, end.Token));

        for (var i = 0; i < Restarts; i++)
        {
            await Task.Delay(BetweenRestarts);
            var oldest = hosts[0];
            hosts.RemoveAt(0);
            await oldest.DisposeAsync();
            hosts.Add(await StartAsync());
        }

        await end.CancelAsync();
        var published = await publishing;
        for (var start = Stopwatch.GetTimestamp(); delays.Count < published;)
        {
            if (Stopwatch.GetElapsedTime(start) > Deadline)
                throw new TimeoutException($"{published - delays.Count} of {published} messages were never handled.");
            await Task.Delay(10);
        }

        foreach (var host in hosts)
            await host.DisposeAsync();
        var sorted = delays.Values.Order().ToList();
        Report.Row(name, (double)published, sorted[sorted.Count / 2], sorted[sorted.Count * 99 / 100], sorted[^1], "under 1,000", doubled);

        Task<BenchHost> StartAsync() => BenchHost.StartOnRedisAsync(
            $"127.0.0.1:{server.Port}",
            async (message, _) =>
            {
                if (!delays.TryAdd(message.Number, Stopwatch.GetElapsedTime(message.SentAt).TotalMilliseconds))
                    Interlocked.Increment(ref doubled);
                await Task.Delay(Work);
            },
            static options => (options.Concurrency, options.Prefetch) = (4, 40));
    }

    private static async Task<int> PublishUntilAsync(BenchHost publisher, CancellationToken end)
    {
        using var timer = new PeriodicTimer(Interval);
        var published = 0;
        while (!end.IsCancellationRequested)
        {
            var now = Stopwatch.GetTimestamp();
            var burst = Enumerable.Range(published, Burst).Select(number => new BenchMessage(number, now, BenchMessage.Filling)).ToList();
            await publisher.Publisher.PublishManyAsync(BenchHost.Stream, burst);
            published += Burst;
            await timer.WaitForNextTickAsync(CancellationToken.None);
        }

        return published;
    }
}
