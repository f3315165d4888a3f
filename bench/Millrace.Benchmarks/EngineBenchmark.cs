using System.Diagnostics;
using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Benchmarks;

/// <summary>The embedded store in memory, through its public contract, called from one thread: what the engine itself costs.</summary>
internal static class EngineBenchmark
{
    private const int Entries = 1_000_000;
    private const int Runs = 5;

    /// <summary>Runs that are not counted: the runtime compiles what is hot again, and from batches it learns that late.</summary>
    private const int WarmUpRuns = 5;
    private const int AppendBatch = 64;
    private const int ReadBatch = 100;
    private const string Stream = "bench";
    private const string Group = "handlers";

    public static async Task RunAsync()
    {
        Console.WriteLine($"## Engine: the embedded store in memory, one thread, {Entries:N0} entries of one field ({Runs} runs, median)");
        Console.WriteLine();
        Report.Row("operation", "bytes an entry", "entries/s", "nanoseconds an entry", "processor nanoseconds", "allocated bytes");
        Report.Row("---", "---:", "---:", "---:", "---:", "---:");
        foreach (var size in new[] { 100, 1_024 })
        {
            await MeasureAsync($"append, batches of {AppendBatch}", size, NoGroupAsync, AppendBatchesAsync);
            await MeasureAsync("append, one by one", size, NoGroupAsync, AppendSinglyAsync);
            await MeasureAsync($"group read of {ReadBatch} and ack", size, FilledWithGroupAsync, ReadAndAckAsync);
            await MeasureAsync($"append, group read and ack, {ReadBatch} each", size, WithGroupAsync, PassThroughAsync);
            await MeasureAsync($"range of {ReadBatch}", size, FilledWithGroupAsync, RangeAsync);
        }

        Console.WriteLine();
        Console.WriteLine($"## Memory: heap after a forced collection, {Entries:N0} entries of one field");
        Console.WriteLine();
        Report.Row("what", "payload bytes", "bytes each");
        Report.Row("---", "---:", "---:");
        foreach (var size in new[] { 100, 1_024 })
            await MeasureMemoryAsync(size);
        Console.WriteLine();
    }

    /// <summary>A call in process beside the best that redis-server does over its socket: another thing, and said so.</summary>
    public static async Task AgainstRedisAsync()
    {
        await using var redis = await ServerProcess.StartRedisAsync();
        Pairs.Head("In process, one thread, 100 bytes, beside redis-server over its socket at its best", "entries/s");
        Run(
            $"append, batches of {AppendBatch}; XADD at -P 256", 12, () => ServedBenchmark.RunRedisBenchmark(redis, 256, Entries),
            NoGroupAsync, AppendBatchesAsync);
        Run("append, one by one; XADD at -P 256", 6, () => ServedBenchmark.RunRedisBenchmark(redis, 256, Entries), NoGroupAsync, AppendSinglyAsync);
        Run(
            $"group read of {ReadBatch} and ack; XREADGROUP COUNT 100 and XACK, 8 at once",
            8,
            () => ServedBenchmark.Consume(redis, depth: 8),
            FilledWithGroupAsync,
            ReadAndAckAsync);
        Console.WriteLine();

        static void Run(
            string row,
            double goal,
            Func<Measured> theirs,
            Func<IStreamStore, EntryFields, Task> prepare,
            Func<IStreamStore, EntryFields, Task> run) =>
            Pairs.Run(row, goal, theirs, () => MeasureOnceAsync(prepare, run).GetAwaiter().GetResult(), warmUps: WarmUpRuns);
    }

    private static async Task<Measured> MeasureOnceAsync(Func<IStreamStore, EntryFields, Task> prepare, Func<IStreamStore, EntryFields, Task> run)
    {
        await using var store = new EmbeddedStreamStore(new());
        var fields = Fields(100);
        await prepare(store, fields);
        Collect();
        var (start, busy) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        await run(store, fields);
        return new(Entries / Stopwatch.GetElapsedTime(start).TotalSeconds, (Environment.CpuUsage.TotalTime - busy).TotalNanoseconds / Entries);
    }

    private static async Task MeasureAsync(
        string name, int size, Func<IStreamStore, EntryFields, Task> prepare, Func<IStreamStore, EntryFields, Task> run)
    {
        // Processor time tells what an operation costs also when others use the machine; it counts the collector's threads as well.
        var (perSecond, processor) = (new List<double>(), new List<double>());
        var allocated = 0.0;
        for (var i = 0; i < WarmUpRuns + Runs; i++)
        {
            await using var store = new EmbeddedStreamStore(new());
            var fields = Fields(size);
            await prepare(store, fields);
            Collect();
            var (start, bytes, busy) = (Stopwatch.GetTimestamp(), GC.GetTotalAllocatedBytes(), Environment.CpuUsage.TotalTime);
            await run(store, fields);
            perSecond.Add(Entries / Stopwatch.GetElapsedTime(start).TotalSeconds);
            processor.Add((Environment.CpuUsage.TotalTime - busy).TotalNanoseconds / Entries);
            allocated = (double)(GC.GetTotalAllocatedBytes() - bytes) / Entries;
        }

        var median = Report.Median(perSecond.Skip(WarmUpRuns));
        Report.Row(name, size, median, 1e9 / median, Report.Median(processor.Skip(WarmUpRuns)), allocated);
    }

    private static async Task MeasureMemoryAsync(int size)
    {
        var fields = Fields(size);
        var before = Collect();
        await using var store = new EmbeddedStreamStore(new());
        await AppendBatchesAsync(store, fields);
        await WithGroupAsync(store, fields);
        var filled = Collect();
        Report.Row("entry", size, (double)(filled - before) / Entries);

        GroupRead read = Read();
        while ((await store.ReadGroupAsync(read)).Count > 0)
        {
        }

        Report.Row("pending entry", size, (double)(Collect() - filled) / Entries);
        GC.KeepAlive(store);
    }

    private static Task NoGroupAsync(IStreamStore store, EntryFields fields) => Task.CompletedTask;

    private static async Task WithGroupAsync(IStreamStore store, EntryFields fields) =>
        await store.CreateGroupAsync(Stream, Group, GroupStart.Beginning);

    private static async Task FilledWithGroupAsync(IStreamStore store, EntryFields fields)
    {
        await WithGroupAsync(store, fields);
        await AppendBatchesAsync(store, fields);
    }

    private static async Task AppendBatchesAsync(IStreamStore store, EntryFields fields)
    {
        var batch = Enumerable.Repeat(fields, AppendBatch).ToArray();
        for (var i = 0; i < Entries; i += AppendBatch)
            await store.AppendManyAsync(Stream, batch);
    }

    private static async Task AppendSinglyAsync(IStreamStore store, EntryFields fields)
    {
        for (var i = 0; i < Entries; i++)
            await store.AppendAsync(Stream, fields);
    }

    private static async Task ReadAndAckAsync(IStreamStore store, EntryFields fields)
    {
        var read = Read();
        var ids = new EntryId[ReadBatch];
        for (var i = 0; i < Entries; i += ReadBatch)
            await ReadAndAckAsync(store, read, ids);
    }

    private static async Task PassThroughAsync(IStreamStore store, EntryFields fields)
    {
        var batch = Enumerable.Repeat(fields, ReadBatch).ToArray();
        var read = Read();
        var ids = new EntryId[ReadBatch];
        for (var i = 0; i < Entries; i += ReadBatch)
        {
            await store.AppendManyAsync(Stream, batch);
            await ReadAndAckAsync(store, read, ids);
        }
    }

    private static async Task ReadAndAckAsync(IStreamStore store, GroupRead read, EntryId[] ids)
    {
        var entries = (await store.ReadGroupAsync(read))[0].Entries;
        for (var i = 0; i < ids.Length; i++)
            ids[i] = entries[i].Id;
        if (await store.AckAsync(Stream, Group, ids) != ids.Length)
            throw new InvalidOperationException("What was read was not pending.");
    }

    private static async Task RangeAsync(IStreamStore store, EntryFields fields)
    {
        var next = EntryId.Zero;
        for (var i = 0; i < Entries; i += ReadBatch)
            next = (await store.RangeAsync(Stream, new() { Start = next, Count = ReadBatch }))[^1].Id.Next();
    }

    private static GroupRead Read() => new() { Group = Group, Consumer = "one", Streams = [Stream], Count = ReadBatch };

    private static EntryFields Fields(int size) => EntryFields.Create(("f", new('x', size)));

    private static long Collect() => GC.GetTotalMemory(forceFullCollection: true);
}
