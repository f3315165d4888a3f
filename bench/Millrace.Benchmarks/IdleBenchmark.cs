using System.Diagnostics;
using System.Globalization;
using Millrace.Tests.Fixtures;

namespace Millrace.Benchmarks;

/// <summary>The processor time of a host whose consumers have nothing to do. Waiting must be waiting, not polling.</summary>
internal static class IdleBenchmark
{
    private const double GoalPercent = 1;
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Span = TimeSpan.FromSeconds(10);

    public static async Task RunAsync()
    {
        Console.WriteLine($"## Idle: processor time of a host with a waiting consumer, over {Span.TotalSeconds:N0} s after {Settling.TotalSeconds:N0} s");
        Console.WriteLine();
        Report.Row("store", "this process, % of one core", "redis-server, % of one core", $"goal: under {GoalPercent:N0} %");
        Report.Row("---", "---:", "---:", "---");
        await using (var redis = await RedisServer.StartAsync())
        {
            await using var host = await BenchHost.StartOnRedisAsync(redis.Endpoint, (_, _) => Task.CompletedTask);
            await MeasureAsync("Redis", host, redis);
        }

        await using (var host = await BenchHost.StartEmbeddedAsync((_, _) => Task.CompletedTask))
            await MeasureAsync("embedded", host, redis: null);
        Console.WriteLine();
    }

    private static async Task MeasureAsync(string name, BenchHost host, RedisServer? redis)
    {
        // One message, so that everything that is made on first use is made.
        await host.Publisher.PublishAsync(BenchHost.Stream, new BenchMessage(1, 0, BenchMessage.Filling));

        // To ask the server starts a process, and compiles what starts it: neither must count as ours.
        var theirs = await ServerTimeAsync(redis);
        await Task.Delay(Settling);
        var (ours, start) = (Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
        await Task.Delay(Span);
        var (oursAfter, elapsed) = (Environment.CpuUsage.TotalTime, Stopwatch.GetElapsedTime(start));
        var theirsAfter = await ServerTimeAsync(redis);

        var percent = 100 * (oursAfter - ours) / elapsed;
        var server = redis is null ? "-" : (100 * (theirsAfter - theirs) / (elapsed + Settling)).ToString("N2");
        Report.Row(name, percent.ToString("N2"), server, percent < GoalPercent ? "met" : "missed");
    }

    private static async Task<TimeSpan> ServerTimeAsync(RedisServer? redis) => redis is null
        ? TimeSpan.Zero
        : (await redis.CliAsync("INFO", "cpu")).Split('\n')
            .Where(line => line.StartsWith("used_cpu_user:", StringComparison.Ordinal) || line.StartsWith("used_cpu_sys:", StringComparison.Ordinal))
            .Select(line => TimeSpan.FromSeconds(double.Parse(line.Split(':')[1], CultureInfo.InvariantCulture)))
            .Aggregate((sum, time) => sum + time);
}
