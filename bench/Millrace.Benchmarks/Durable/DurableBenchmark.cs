using System.Diagnostics;
using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Benchmarks;

/// <summary>Appends that are kept on disk: in process and served, beside redis-server with its append-only file under the same policy.</summary>
internal static class DurableBenchmark
{
    private const string Stream = "bench";
    private const int Connections = 50;
    private const int Pipeline = 64;

    /// <summary>What one append of <see cref="Fields"/> takes in the journal, for the bare loop: the record in a frame of its own.</summary>
    private const int BareRecordBytes = 154;

    private static readonly TimeSpan SustainedTime = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ShortTime = TimeSpan.FromSeconds(3);
    private static readonly EntryFields Fields = EntryFields.Create(("f", new('x', 100)));
    private static readonly EntryFields[] Batch = [.. Enumerable.Repeat(Fields, Pipeline)];

    /// <summary>The embedded store on disk; entries a second that were acknowledged.</summary>
    public static async Task InProcessAsync()
    {
        Pairs.Head($"In process, on disk, 100 bytes, {Connections} callers with {Pipeline} appends each in flight, beside redis-server", "entries/s");
        await using (var redis = await StartRedisAsync("everysec"))
        {
            Pairs.Run(
                $"EverySecond for {SustainedTime.TotalSeconds} s, AppendManyAsync; everysec at -P 256", 8,
                () => ServedBenchmark.RunRedisBenchmark(redis, 256, 5_000_000), () => Batches(SyncPolicy.EverySecond, SustainedTime));
            Pairs.Run(
                "EverySecond, AppendAsync one by one; everysec at -P 256", 1,
                () => ServedBenchmark.RunRedisBenchmark(redis, 256, 2_000_000), () => Singles(SyncPolicy.EverySecond, Connections));
        }

        await using (var redis = await StartRedisAsync("always"))
        {
            Pairs.Run(
                "Always, AppendManyAsync; always at -P 64", 5,
                () => ServedBenchmark.RunRedisBenchmark(redis, 64, 2_000_000), () => Batches(SyncPolicy.Always, ShortTime));
            Pairs.Run(
                $"Always, AppendAsync by {Connections * Pipeline:N0} callers; always at -P 64", 1,
                () => ServedBenchmark.RunRedisBenchmark(redis, 64, 2_000_000), () => Singles(SyncPolicy.Always, Connections * Pipeline));
        }

        Console.WriteLine();
    }

    /// <summary>Appends that each wait for the device: alone, and sharing its syncs.</summary>
    public static Task OneByOneAsync()
    {
        Pairs.Head("In process, on disk, Always, 100 bytes, AppendAsync awaited one at a time", "appends/s", "other side");
        Pairs.Run(
            $"one caller; other side: a bare loop of write and fdatasync, {BareRecordBytes} bytes", 0.95,
            () => new(BareLog.Run(BareRecordBytes, ShortTime)), () => Singles(SyncPolicy.Always, 1));
        Pairs.Run("64 callers; other side: one caller", 40, () => Singles(SyncPolicy.Always, 1), () => Singles(SyncPolicy.Always, 64));
        Console.WriteLine();
        return Task.CompletedTask;
    }

    /// <summary>XADD through redis-benchmark, both servers with a file and the same policy.</summary>
    public static async Task ServedAsync()
    {
        Pairs.Head($"Served XADD of 100 bytes, kept on disk: redis-benchmark -P {Pipeline} -c {Connections}", "entries/s");
        foreach (var policy in new[] { "always", "everysec", "no" })
        {
            using var data = new DiskDirectory();
            await using var redis = await StartRedisAsync(policy);
            await using var millrace = await ServerProcess.StartMillraceAsync("--data", data.Path, "--fsync", policy);
            Pairs.Run(
                $"--fsync {policy}; appendfsync {policy}", 2.5,
                () => ServedBenchmark.RunRedisBenchmark(redis, Pipeline, 3_000_000),
                () => ServedBenchmark.RunRedisBenchmark(millrace, Pipeline, 3_000_000),
                warmUps: 2);
        }

        Console.WriteLine();
    }

    /// <summary>With everything else as it comes, so it rewrites its file when that has doubled, as ours makes snapshots.</summary>
    private static Task<ServerProcess> StartRedisAsync(string policy) =>
        ServerProcess.StartRedisAsync("--appendonly", "yes", "--appendfsync", policy);

    private static Measured Batches(SyncPolicy sync, TimeSpan time) => RunAsync(sync, time, Connections, AppendBatchesAsync).GetAwaiter().GetResult();

    private static Measured Singles(SyncPolicy sync, int callers) => RunAsync(sync, ShortTime, callers, AppendSinglyAsync).GetAwaiter().GetResult();

    private static async Task<Measured> RunAsync(
        SyncPolicy sync, TimeSpan time, int callers, Func<EmbeddedStreamStore, long, TimeSpan, Task<long>> appendAsync)
    {
        using var directory = new DiskDirectory();
        await using var store = new EmbeddedStreamStore(new() { Directory = directory.Path, Sync = sync });
        await store.OpenAsync();
        GC.Collect();
        var (start, busy) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        var counts = await Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(() => appendAsync(store, start, time))));
        var (elapsed, entries) = (Stopwatch.GetElapsedTime(start), counts.Sum());
        return new(entries / elapsed.TotalSeconds, (Environment.CpuUsage.TotalTime - busy).TotalNanoseconds / entries);
    }

    private static async Task<long> AppendBatchesAsync(EmbeddedStreamStore store, long start, TimeSpan time)
    {
        long count = 0;
        for (; Stopwatch.GetElapsedTime(start) < time; count += Pipeline)
            await store.AppendManyAsync(Stream, Batch);
        return count;
    }

    private static async Task<long> AppendSinglyAsync(EmbeddedStreamStore store, long start, TimeSpan time)
    {
        long count = 0;
        for (; Stopwatch.GetElapsedTime(start) < time; count++)
            await store.AppendAsync(Stream, Fields);
        return count;
    }
}
