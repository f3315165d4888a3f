using System.Diagnostics;
using System.Globalization;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;

namespace Millrace.Benchmarks;

/// <summary>
/// A million scheduled entries on each store: how fast they go in, what memory each takes, how fast they are promoted when all are due at once, and how
/// late entries come that are due one after the other while a million others wait.
/// </summary>
internal static class ScheduledBenchmark
{
    private const int Entries = 1_000_000;
    private const int Batch = 1_000;
    private const int Paced = 100_000;
    private const string Stream = "bench";

    // Room for all to be scheduled before the first is due, also on a slow machine.
    private static readonly TimeSpan Lead = TimeSpan.FromSeconds(40);
    private static readonly TimeSpan PacedLead = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan PacedSpan = TimeSpan.FromSeconds(10);

    private static readonly EntryFields Entry = EntryFields.Create(("data", new string('x', 100)));

    public static async Task RunAsync()
    {
        Console.WriteLine($"## Scheduled: {Entries:N0} entries of 100 bytes, in commits of {Batch:N0}, journal every second");
        Console.WriteLine();
        Report.Row("store", "scheduled / s", "bytes for each", "promoted / s, all due at once", "lateness ms p50", "p99", "longest");
        Report.Row("---", "---:", "---:", "---:", "---:", "---:", "---:");
        for (var i = 0; i < Pairs.Count; i++)
        {
            using (var directory = new DiskDirectory())
            await using (var store = new EmbeddedStreamStore(new() { Directory = directory.Path }))
                await MeasureAsync("embedded", store, static () => GC.GetTotalMemory(forceFullCollection: true));
            await using (var server = await ServerProcess.StartRedisAsync("--appendonly", "yes", "--appendfsync", "everysec"))
            {
                using var connection = new RawConnection(server.Port);
                await using var store = new RedisStreamStore(RedisOptions.Parse($"127.0.0.1:{server.Port}"));
                await MeasureAsync("redis-server", store, () => MemoryBenchmark.UsedMemory(connection));
            }
        }

        Console.WriteLine();
        Console.WriteLine(
            $"Lateness: from the moment due to the arrival at a blocked reader, of {Paced:N0} entries due over {PacedSpan.TotalSeconds:N0} s " +
            $"while {Entries:N0} wait.");
        Console.WriteLine();
    }

    private static async Task MeasureAsync(string name, IStreamStore store, Func<long> memory)
    {
        await store.OpenAsync();
        var before = memory();
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < Entries; i += Batch)
            await ScheduleAsync(store, Stream, _ => Lead - Stopwatch.GetElapsedTime(start), Batch);
        var scheduling = Stopwatch.GetElapsedTime(start);
        var bytes = (double)(memory() - before) / Entries;

        var wait = Lead - Stopwatch.GetElapsedTime(start);
        if (wait < TimeSpan.Zero)
            throw new InvalidOperationException($"Scheduling took {scheduling}, longer than {Lead}: nothing is due at once any more.");
        await Task.Delay(wait);
        var due = Stopwatch.GetTimestamp();
        while ((await store.GetStreamInfoAsync(Stream))?.Length is not Entries)
            await Task.Delay(5);
        var promoting = Stopwatch.GetElapsedTime(due);
        await store.DeleteStreamAsync(Stream);

        for (var i = 0; i < Entries; i += Batch)
            await ScheduleAsync(store, Stream, static _ => TimeSpan.FromHours(1), Batch);
        var lateness = await MeasureLatenessAsync(store);
        Report.Row(
            name,
            Entries / scheduling.TotalSeconds,
            bytes,
            Entries / promoting.TotalSeconds,
            Milliseconds(lateness, 0.5),
            Milliseconds(lateness, 0.99),
            Milliseconds(lateness, 1));
    }

    private static async Task ScheduleAsync(IStreamStore store, string stream, Func<int, TimeSpan> delay, int count)
    {
        var changes = new CommitChange[count];
        for (var i = 0; i < count; i++)
            changes[i] = new CommitChange.Schedule(stream, Entry, delay(i));
        await store.CommitAsync(new Commit { Changes = changes });
    }

    /// <summary>The entry says in its field when it is due, by the clock of this machine, which the store has, too.</summary>
    private static async Task<List<double>> MeasureLatenessAsync(IStreamStore store)
    {
        var start = DateTimeOffset.UtcNow + PacedLead;
        for (var i = 0; i < Paced; i += Batch)
        {
            var changes = new CommitChange[Batch];
            for (var j = 0; j < Batch; j++)
            {
                var due = start + ((i + j) * (PacedSpan / Paced));
                var text = due.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture);
                changes[j] = new CommitChange.Schedule(Stream, EntryFields.Create(("due", text)), due - DateTimeOffset.UtcNow);
            }

            await store.CommitAsync(new Commit { Changes = changes });
        }

        var lateness = new List<double>(Paced);
        var last = EntryId.Zero;
        while (lateness.Count < Paced)
        {
            foreach (var batch in await store.ReadAsync([new(Stream, last)], Batch, TimeSpan.FromMinutes(1)))
            {
                var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
                lateness.AddRange(batch.Entries.Select(entry => now - double.Parse(entry.Fields.GetText("due"u8)!, CultureInfo.InvariantCulture)));
                last = batch.Entries[^1].Id;
            }
        }

        lateness.Sort();
        return lateness;
    }

    private static double Milliseconds(List<double> sorted, double fraction) => sorted[(int)((sorted.Count - 1) * fraction)];
}
