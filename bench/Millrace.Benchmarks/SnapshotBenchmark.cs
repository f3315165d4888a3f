using System.Diagnostics;
using System.Globalization;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Benchmarks;

/// <summary>How long a snapshot holds the store's lock, and what it costs to write and to read one, in memory: without the disk.</summary>
internal static class SnapshotBenchmark
{
    private const int Runs = 7;
    private const int BatchEntries = 1_000;
    private const long NowMs = 1_700_000_000_000;

    public static Task RunAsync()
    {
        Console.WriteLine($"## Snapshots: the capture under the lock, then writing and reading it on one thread ({Runs} captures, median and longest)");
        Console.WriteLine();
        Report.Row("the store holds", "capture, ms", "longest, ms", "snapshot, MB", "write, s", "read, s", "allocated by reading, of what stays");
        Report.Row("---", "---:", "---:", "---:", "---:", "---:", "---:");
        Measure("1 million entries of 100 bytes", engine => AddEntries(engine, 1_000_000));
        Measure("10 million entries of 100 bytes", engine => AddEntries(engine, 10_000_000));
        Measure("1 million pending entries", engine => AddPending(engine, 1_000_000));
        Measure("100,000 state documents", engine => AddStates(engine, 100_000));
        Measure("100,000 streams of one entry, each with a group", engine => AddStreams(engine, 100_000));
        Measure("10 million entries, 1 million of them pending, 100,000 documents", engine =>
        {
            AddEntries(engine, 9_000_000);
            AddPending(engine, 1_000_000);
            AddStates(engine, 100_000);
        });
        Console.WriteLine();
        return Task.CompletedTask;
    }

    private static void Measure(string what, Action<StreamEngine> fill)
    {
        var engine = new StreamEngine();
        fill(engine);
        GC.Collect();
        var captures = new List<double>();
        EngineImage image = null!;
        for (var run = 0; run < Runs; run++)
        {
            var start = Stopwatch.GetTimestamp();
            image = engine.Capture();
            captures.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        var parts = new List<byte[]>();
        var writing = Stopwatch.GetTimestamp();
        SnapshotWriter.Write(image, part => parts.Add(part.ToArray()));
        var written = Stopwatch.GetElapsedTime(writing);

        // What stays is what the heap has more of when the engine is there.
        (engine, image) = (null!, null!);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var allocatedBefore = GC.GetAllocatedBytesForCurrentThread();
        var reading = Stopwatch.GetTimestamp();
        var copy = SnapshotReader.Read(parts.Select(static part => (ReadOnlyMemory<byte>)part));
        var read = Stopwatch.GetElapsedTime(reading);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - allocatedBefore;
        var kept = GC.GetTotalMemory(forceFullCollection: true) - before;
        GC.KeepAlive(copy);
        Report.Row(
            what,
            Text(Report.Median(captures)),
            Text(captures.Max()),
            Text(parts.Sum(static part => (long)part.Length) / 1e6),
            Text(written.TotalSeconds),
            Text(read.TotalSeconds),
            Text((double)allocated / kept));
    }

    private static void AddEntries(StreamEngine engine, int count)
    {
        var fields = EntryFields.Create(("v", new string('x', 97)));
        var batch = Enumerable.Repeat(fields, BatchEntries).ToArray();
        for (var i = 0; i < count; i += BatchEntries)
            engine.Apply(new AppendMany("entries", batch), NowMs + i, out IReadOnlyList<EntryId> _);
    }

    private static void AddPending(StreamEngine engine, int count)
    {
        AddEntries(engine, count);
        engine.Apply(new CreateGroup("entries", "g", GroupStart.Beginning), NowMs, out bool _);
        engine.Apply(new ReadGroup("entries", "g", "c", count), NowMs, out DeliveredRange _);
    }

    private static void AddStates(StreamEngine engine, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var change = new CommitChange.PutState(new("entries", $"document {i}"), new byte[100]);
            engine.Apply(new ApplyCommit(new() { Changes = [change] }), NowMs + i, out CommitResult _);
        }
    }

    private static void AddStreams(StreamEngine engine, int count)
    {
        var fields = EntryFields.Create(("v", "x"));
        for (var i = 0; i < count; i++)
        {
            engine.Apply(new CreateGroup($"stream {i}", "g", GroupStart.Beginning), NowMs, out bool _);
            engine.Apply(new Append($"stream {i}", fields), NowMs, out EntryId _);
        }
    }

    private static string Text(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);
}
