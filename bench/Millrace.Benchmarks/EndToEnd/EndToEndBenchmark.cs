using System.Diagnostics;
using Millrace.Streams;

namespace Millrace.Benchmarks;

/// <summary>
/// Through the whole framework: publish as JSON, deliver, parse, handle, acknowledge, publisher and consumer in one process, until nothing is
/// pending; beside what Node makes of the same work, and beside bare sockets.
/// </summary>
internal static class EndToEndBenchmark
{
    private const int BatchSize = 1_000;
    private const int Callers = 2;

    // Both sides compile their hot code as they go; what is measured is a process that has run for some seconds.
    private const int WarmUps = 6;

    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    private static readonly Func<BenchMessage, MessageContext, Task> Nothing = static (_, _) => Task.CompletedTask;

    /// <summary>On the embedded store, on disk, synced every second; the rival's redis-server keeps an append-only file the same way.</summary>
    public static async Task EmbeddedAsync()
    {
        await using var redis = await ServerProcess.StartRedisAsync("--appendonly", "yes", "--appendfsync", "everysec");
        await using var rivals = await NodeRivals.StartAsync(redis);
        Pairs.Head("End to end, embedded, EverySecond; the other side on redis-server, appendfsync everysec", "messages/s", "other side");
        Pairs.Run("ioredis, pipelined", 10, () => rivals.Run("pipelined", 100_000), () => Embedded(1_500_000), warmUps: WarmUps);
        Console.WriteLine();
    }

    /// <summary>On redis-server, in memory.</summary>
    public static async Task RedisAsync()
    {
        await using var redis = await ServerProcess.StartRedisAsync();
        await using var rivals = await NodeRivals.StartAsync(redis);
        Pairs.Head("End to end on redis-server, both sides", "messages/s", "other side");
        Pairs.Run("ioredis, pipelined", 2.5, () => rivals.Run("pipelined", 100_000), () => OnRedis(redis, 200_000, Nothing), warmUps: WarmUps);
        Pairs.Run("ioredis, one call after the other", 15, () => rivals.Run("sequential", 10_000), () => OnRedis(redis, 200_000, Nothing));
        Pairs.Run("BullMQ, addBulk and a worker of 100 jobs at once", 20, () => rivals.Run("bullmq", 10_000), () => OnRedis(redis, 200_000, Nothing));
        Pairs.Run("bare sockets", 0.5, () => RawLoop.Run(redis, 400_000), () => OnRedis(redis, 200_000, Nothing));
        Pairs.Run(
            "bare sockets without, handlers with an output and a state document in the commit", 0.25,
            () => RawLoop.Run(redis, 400_000), () => OnRedis(redis, 100_000, PublishAndPut));
        Console.WriteLine();
    }

    public static void Empty(ServerProcess redis)
    {
        using var connection = new RawConnection(redis.Port);
        connection.Do("FLUSHALL");
    }

    private static Measured Embedded(int messages) =>
        RunAsync(messages, Nothing, handle => BenchHost.StartEmbeddedAsync(handle, Configure)).GetAwaiter().GetResult();

    private static Measured OnRedis(ServerProcess redis, int messages, Func<BenchMessage, MessageContext, Task> handler)
    {
        Empty(redis);
        var before = redis.Busy;
        var measured = RunAsync(messages, handler, handle => BenchHost.StartOnRedisAsync($"127.0.0.1:{redis.Port}", handle, Configure))
            .GetAwaiter().GetResult();
        return measured with { ServerNanoseconds = (redis.Busy - before).TotalNanoseconds / messages };
    }

    /// <summary>As an application with much to do and quick handlers sets it.</summary>
    private static void Configure(ConsumerOptions options) => (options.Concurrency, options.Prefetch) = (16, 2_000);

    private static Task PublishAndPut(BenchMessage message, MessageContext context)
    {
        context.Publish("bench-outputs", message);
        context.State.Put($"customer-{message.Number % 1_000}", message);
        return Task.CompletedTask;
    }

    private static async Task<Measured> RunAsync(
        int messages, Func<BenchMessage, MessageContext, Task> handler, Func<Func<BenchMessage, MessageContext, Task>, Task<BenchHost>> startAsync)
    {
        var left = messages;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task Handle(BenchMessage message, MessageContext context)
        {
            if (Interlocked.Decrement(ref left) == 0)
                all.SetResult();
            return handler(message, context);
        }

        await using var host = await startAsync(Handle);
        GC.Collect();
        var (start, busy) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        var next = 0;
        await Task.WhenAll(Enumerable.Range(0, Callers).Select(_ => Task.Run(async () =>
        {
            for (int first; (first = Interlocked.Add(ref next, BatchSize) - BatchSize) < messages;)
            {
                var batch = new BenchMessage[Math.Min(BatchSize, messages - first)];
                for (var i = 0; i < batch.Length; i++)
                    batch[i] = new(first + i, 0, BenchMessage.Filling);
                await host.Publisher.PublishManyAsync(BenchHost.Stream, batch);
            }
        })));
        await all.Task.WaitAsync(Deadline);
        while ((await host.Store.PendingSummaryAsync(BenchHost.Stream, BenchHost.Group)).Count > 0)
        {
            if (Stopwatch.GetElapsedTime(start) > Deadline)
                throw new TimeoutException("Handled messages stay pending.");
            await Task.Delay(1);
        }

        var (elapsed, used) = (Stopwatch.GetElapsedTime(start), Environment.CpuUsage.TotalTime - busy);
        var perSecond = messages / elapsed.TotalSeconds;
        Report.Note($"millrace: {perSecond:N0} messages/s, {used.TotalNanoseconds / messages:N0} ns of this process's processor time each");
        return new(perSecond);
    }
}
