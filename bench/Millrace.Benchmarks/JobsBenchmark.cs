using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.WorkQueues;

namespace Millrace.Benchmarks;

/// <summary>
/// Jobs with a record each: enqueued a thousand at a time and worked off by a hundred at once, until the last has ended; and jobs whose result is awaited,
/// a hundred under way. Beside BullMQ on the same redis-server.
/// </summary>
internal static class JobsBenchmark
{
    private const string Queue = "jobs";
    private const int BatchSize = 1_000;
    private const int Workers = 100;

    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(5);

    public static async Task RunAsync()
    {
        await using var redis = await ServerProcess.StartRedisAsync();
        await using var rivals = await NodeRivals.StartAsync(redis);
        Pairs.Head("Jobs on redis-server, both sides; BullMQ forgets what is done, Millrace keeps it for an hour", "jobs/s", "BullMQ");
        Pairs.Run("addBulk and a worker of 100 jobs at once", null, () => rivals.Run("bullmq", 10_000), () => OnRedis(redis, 50_000, WorkAsync));
        Pairs.Run("jobs whose result is awaited, 100 under way", null, () => rivals.Run("bullmqresults", 5_000), () => OnRedis(redis, 20_000, AwaitAsync));
        Console.WriteLine();
        Pairs.Head("Jobs on the embedded store, EverySecond; the other side on redis-server", "jobs/s", "BullMQ");
        Pairs.Run("addBulk and a worker of 100 jobs at once", null, () => rivals.Run("bullmq", 10_000), () => Embedded(100_000, WorkAsync));
        Pairs.Run("jobs whose result is awaited, 100 under way", null, () => rivals.Run("bullmqresults", 5_000), () => Embedded(50_000, AwaitAsync));
        Console.WriteLine();
    }

    private static Measured OnRedis(ServerProcess redis, int jobs, Func<JobQueue, int, Task> measure)
    {
        EndToEndBenchmark.Empty(redis);
        var before = redis.Busy;
        var measured = RunAsync(millrace => millrace.UseRedis($"127.0.0.1:{redis.Port}"), jobs, measure).GetAwaiter().GetResult();
        return measured with { ServerNanoseconds = (redis.Busy - before).TotalNanoseconds / jobs };
    }

    private static Measured Embedded(int jobs, Func<JobQueue, int, Task> measure)
    {
        using var directory = new DiskDirectory();
        return RunAsync(millrace => millrace.UseEmbedded(directory.Path), jobs, measure).GetAwaiter().GetResult();
    }

    private static async Task<Measured> RunAsync(Action<MillraceBuilder> useStore, int jobs, Func<JobQueue, int, Task> measure)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddMillrace(millrace =>
        {
            useStore(millrace);
            millrace.AddMessage<BenchMessage>("bench.message", 1).AddJob<BenchMessage, BenchMessage>(
                Queue,
                static (job, _, _) => Task.FromResult(job),
                static options => (options.Concurrency, options.Prefetch) = (Workers, 1_000));
        });
        using var host = builder.Build();
        await host.StartAsync();
        var queue = host.Services.GetRequiredKeyedService<JobQueue>(Queue);
        GC.Collect();
        var (start, busy) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        await measure(queue, jobs);
        var (elapsed, used) = (Stopwatch.GetElapsedTime(start), Environment.CpuUsage.TotalTime - busy);
        Report.Note($"millrace: {jobs / elapsed.TotalSeconds:N0} jobs/s, {used.TotalNanoseconds / jobs:N0} ns of this process's processor time each");
        await host.StopAsync();
        return new(jobs / elapsed.TotalSeconds);
    }

    /// <summary>Until the last job of each batch has ended, and with it, nearly, all.</summary>
    private static async Task WorkAsync(JobQueue queue, int jobs)
    {
        List<Job> enqueued = [];
        for (var first = 0; first < jobs; first += BatchSize)
        {
            var batch = await queue.EnqueueManyAsync(
                [.. Enumerable.Range(first, Math.Min(BatchSize, jobs - first)).Select(number => new BenchMessage(number, 0, BenchMessage.Filling))]);
            enqueued.AddRange(batch.TakeLast(Workers));
        }

        foreach (var job in enqueued)
            await job.WaitAsync(Deadline);
    }

    private static Task AwaitAsync(JobQueue queue, int jobs) => Task.WhenAll(Enumerable.Range(0, Workers).Select(_ => Task.Run(async () =>
    {
        for (var i = 0; i < jobs / Workers; i++)
        {
            var job = await queue.EnqueueAsync(new BenchMessage(i, 0, BenchMessage.Filling));
            if ((await job.ResultAsync<BenchMessage>(Deadline)).Number != i)
                throw new InvalidOperationException("The result is another job's.");
        }
    })));
}
