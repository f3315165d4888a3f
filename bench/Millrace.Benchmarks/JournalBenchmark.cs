using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;

namespace Millrace.Benchmarks;

/// <summary>Records a second through the journal alone, by sync policy: what durability itself costs, and what sharing a write and its sync saves.</summary>
internal static class JournalBenchmark
{
    private const int RecordBytes = 200;
    private const int Runs = 5;
    private static readonly TimeSpan RunTime = TimeSpan.FromSeconds(1);

    public static async Task RunAsync()
    {
        Console.WriteLine($"## Journal: records of {RecordBytes} bytes, acknowledged one by one ({Runs} runs of {RunTime.TotalSeconds:N0} s)");
        Console.WriteLine();
        Report.Row("sync policy", "callers", "records/s, median", "microseconds a record", "allocated bytes a record");
        Report.Row("---", "---:", "---:", "---:", "---:");
        foreach (var sync in Enum.GetValues<SyncPolicy>())
        {
            foreach (var callers in new[] { 1, 64 })
                await MeasureAsync(sync, callers);
        }

        Console.WriteLine();
    }

    private static async Task MeasureAsync(SyncPolicy sync, int callers)
    {
        var perSecond = new List<double>();
        var allocated = 0.0;
        for (var run = 0; run <= Runs; run++)
        {
            var directory = Directory.CreateTempSubdirectory("millrace-bench-").FullName;
            await using (var journal = StreamJournal.Open(
                DiskDevice.Open(directory), new() { Sync = sync }, TimeProvider.System, NullLogger.Instance, new NothingToReplay()))
            {
                var (start, bytes) = (Stopwatch.GetTimestamp(), GC.GetTotalAllocatedBytes());
                var counts = await Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(() => AppendAsync(journal, start))));
                if (run > 0)
                    perSecond.Add(counts.Sum() / Stopwatch.GetElapsedTime(start).TotalSeconds);
                allocated = (double)(GC.GetTotalAllocatedBytes() - bytes) / counts.Sum();
            }

            Directory.Delete(directory, recursive: true);
        }

        var median = Report.Median(perSecond);
        Report.Row(sync, callers, median, 1e6 / median, allocated);
    }

    private static async Task<long> AppendAsync(StreamJournal journal, long start)
    {
        var record = new byte[RecordBytes];
        long count = 0;
        for (; Stopwatch.GetElapsedTime(start) < RunTime; count++)
        {
            // The store's lock; the benchmark has no other use for it.
            long lsn;
            lock (journal)
                lsn = journal.Append(record);
            await journal.WhenDurableAsync(lsn);
        }

        return count;
    }

    private sealed class NothingToReplay : IJournalReplay
    {
        public void Snapshot(IEnumerable<ReadOnlyMemory<byte>> parts)
        {
        }

        public void Record(ReadOnlySpan<byte> record)
        {
        }
    }
}
