using System.Diagnostics;
using Millrace.Embedded;
using Millrace.Embedded.Inspection;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

/// <summary>What is read while a store writes, begins segments, and deletes them behind snapshots.</summary>
public sealed class LiveInspectionTests
{
    private const int LeastSnapshots = 20;
    private const int RecordsPerSnapshot = 100;

    /// <summary>On a busy machine twenty snapshots may take seconds.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(1);

    /// <summary>Room that was made ahead is read as a hole when frames are written there meanwhile.</summary>
    [Fact]
    public async Task Directory_that_is_written_where_there_was_room_is_never_called_damaged()
    {
        const int LeastAppends = 3_000;
        using var directory = new JournalDirectory();
        await using var store = new EmbeddedStreamStore(
            new() { Directory = directory.Path, Sync = SyncPolicy.Always, Journal = new() { SegmentBytes = 8 * 1024 * 1024 } });
        await store.OpenAsync(TestContext.Current.CancellationToken);
        using var stop = new CancellationTokenSource();
        var appended = 0;
        var writing = Task.Run(WriteAsync, TestContext.Current.CancellationToken);

        var checks = 0;
        for (; Volatile.Read(ref appended) < LeastAppends; checks++)
            Assert.Empty(DirectoryCheck.Run(directory.Path).Damages);

        await stop.CancelAsync();
        await writing;
        TestContext.Current.TestOutputHelper?.WriteLine($"{checks} checks beside {appended} appends.");
        Assert.True(checks > 1);

        async Task WriteAsync()
        {
            var fields = EntryFields.Create(("v", new string('x', 7_000)));
            for (; !stop.IsCancellationRequested; appended++)
                await store.AppendAsync("s", fields, StreamTrim.ToLength(50), CancellationToken.None);
        }
    }

    [Fact]
    public async Task Directory_of_a_store_at_work_is_never_called_damaged()
    {
        using var directory = new JournalDirectory();
        await using var store = SampleDirectory.Open(directory.Path);
        await store.OpenAsync(TestContext.Current.CancellationToken);
        using var stop = new CancellationTokenSource();
        var appended = 0;
        var snapshots = 0;
        var writing = Task.Run(WriteAsync, TestContext.Current.CancellationToken);

        var (snapshotsSeen, checks, tornTails, last) = (new HashSet<long>(), 0, 0, 0L);
        for (var started = Stopwatch.GetTimestamp(); Volatile.Read(ref snapshots) < LeastSnapshots; checks++)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < Deadline, $"Only {snapshots} snapshots of {appended} records.");
            var report = DirectoryCheck.Run(directory.Path);
            Assert.Empty(report.Damages);
            Assert.True(report.LastLsn >= last, $"Record {last} was there, and then the last was {report.LastLsn}.");
            last = report.LastLsn;
            tornTails += report.Tail is null ? 0 : 1;
            snapshotsSeen.UnionWith(report.Files.Where(static file => file.Kind == "snapshot").Select(static file => file.LastLsn ?? 0));
        }

        await stop.CancelAsync();
        await writing;
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{checks} checks beside {appended} records and {snapshots} snapshots, of which {snapshotsSeen.Count} were seen; " +
            $"{tornTails} writes were under way.");
        Assert.True(checks > 1 && snapshotsSeen.Count > 1);

        async Task WriteAsync()
        {
            while (!stop.IsCancellationRequested)
            {
                await store.AppendAsync("s", EntryFields.Create(("n", $"{appended++}")), StreamTrim.ToLength(50), CancellationToken.None);
                if (appended % RecordsPerSnapshot != 0)
                    continue;
                await SampleDirectory.SaveAsync(store);
                snapshots++;
            }
        }
    }
}
