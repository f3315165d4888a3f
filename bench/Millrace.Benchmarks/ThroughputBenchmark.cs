using System.Diagnostics;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Benchmarks;

/// <summary>Messages a second from publish to acknowledged, publisher and consumer in one process, until nothing is pending.</summary>
internal static class ThroughputBenchmark
{
    private const int Messages = 100_000;
    private const int Concurrency = 64;
    private const int Runs = 5;

    /// <summary>Messages each publisher sends in one call.</summary>
    private const int BatchSize = 100;

    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    public static async Task RunAsync()
    {
        Console.WriteLine(
            $"## Throughput: publish, handle and acknowledge {Messages:N0} messages ({Runs} runs each, interleaved; handler concurrency {Concurrency})");
        Console.WriteLine();
        var figures = new Dictionary<(string Store, string Publishing), List<double>>();
        for (var run = 0; run <= Runs; run++)
        {
            foreach (var store in new[] { "Redis", "embedded" })
            {
                foreach (var publishing in new[] { "PublishAsync, 64 callers", $"PublishManyAsync of {BatchSize}, 4 callers" })
                {
                    // The zeroth run warms up.
                    var perSecond = await MeasureAsync(store, oneByOne: publishing.StartsWith("PublishAsync", StringComparison.Ordinal));
                    if (!figures.TryGetValue((store, publishing), out var list))
                        figures[(store, publishing)] = list = [];
                    if (run > 0)
                        list.Add(perSecond);
                }
            }
        }

        Report.Row("store", "publishing", "messages/s, median", "each run");
        Report.Row("---", "---", "---:", "---");
        foreach (var ((store, publishing), list) in figures)
            Report.Row(store, publishing, Report.Median(list), string.Join(" ", list.Select(value => value.ToString("N0"))));
        Console.WriteLine();
    }

    private static async Task<double> MeasureAsync(string store, bool oneByOne)
    {
        await using var redis = store == "Redis" ? await RedisServer.StartAsync() : null;
        var handled = 0;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task Handle(BenchMessage message, CancellationToken cancellationToken)
        {
            if (Interlocked.Increment(ref handled) == Messages)
                all.SetResult();
            return Task.CompletedTask;
        }

        await using var host = redis is null
            ? await BenchHost.StartEmbeddedAsync(Handle, Concurrency)
            : await BenchHost.StartOnRedisAsync(redis.Endpoint, Handle, Concurrency);

        var start = Stopwatch.GetTimestamp();
        await (oneByOne ? PublishOneByOneAsync(host, callers: 64) : PublishBatchesAsync(host, callers: 4));
        await all.Task.WaitAsync(Deadline);
        while ((await host.Store.PendingSummaryAsync(BenchHost.Stream, BenchHost.Group)).Count > 0)
        {
            if (Stopwatch.GetElapsedTime(start) > Deadline)
                throw new TimeoutException("Handled messages stay pending.");
            await Task.Delay(1);
        }

        return Messages / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static Task PublishOneByOneAsync(BenchHost host, int callers) => Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
    {
        for (var i = caller; i < Messages; i += callers)
            await host.Publisher.PublishAsync(BenchHost.Stream, new BenchMessage(i, 0, BenchMessage.Filling));
    })));

    private static Task PublishBatchesAsync(BenchHost host, int callers) => Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
    {
        for (var first = caller * BatchSize; first < Messages; first += callers * BatchSize)
        {
            var batch = Enumerable.Range(first, BatchSize).Select(i => new BenchMessage(i, 0, BenchMessage.Filling)).ToArray();
            await host.Publisher.PublishManyAsync(BenchHost.Stream, batch);
        }
    })));
}
