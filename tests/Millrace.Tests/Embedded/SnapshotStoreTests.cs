using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Embedded;

/// <summary>Snapshots of a store that is in use, on a real directory.</summary>
public sealed class SnapshotStoreTests(ITestOutputHelper output) : IDisposable
{
    private readonly JournalDirectory _directory = new();
    private readonly ManualTime _time = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    [InlineData(SyncPolicy.Never)]
    public async Task Snapshots_while_many_write_lose_nothing_and_keep_the_journal_short(SyncPolicy sync)
    {
        string before;
        var logger = new ListLogger();
        await using (var store = NewStore(logger: logger, sync: sync, afterBytes: 2_500))
        {
            await store.CreateGroupAsync("s0", "g", GroupStart.Beginning);
            await Task.WhenAll(Enumerable.Range(0, 4).Select(writer => WriteAsync(store, writer)));
            await Eventually.TrueAsync("a snapshot was begun by itself and published", () => new(store.LastSnapshotMs > 0));
            await store.SaveAsync();
            before = StateDigest.Of(store);
        }

        var published = logger.Lines.Count(static line => line.StartsWith("Snapshot '", StringComparison.Ordinal));
        output.WriteLine($"{published} snapshots while 1,200 entries were written; left are {string.Join(", ", _directory.FileNames)}.");
        Assert.InRange(published, 1, 100);
        Assert.Single(_directory.FileNames, static name => name.EndsWith(".snapshot", StringComparison.Ordinal));
        Assert.InRange(_directory.FileNames.Length, 3, 4);
        await AssertHoldsAsync(_directory.Path, before);
    }

    [Fact]
    public async Task Every_mutation_before_a_snapshot_and_again_behind_it_survives_a_restart()
    {
        string before;
        await using (var store = NewStore())
        {
            await new EveryMutation(store, _time).RunAsync();
            await store.SaveAsync();
            Assert.Equal(0, store.RecordsSinceSnapshotNeedsLock);
            before = StateDigest.Of(store);
        }

        await AssertHoldsAsync(_directory.Path, before);
        await using (var store = NewStore())
        {
            await store.OpenAsync();
            for (var i = 0; i < 20; i++)
                await store.AppendAsync("behind", Fields($"{i}"));
            Assert.Equal(20, store.RecordsSinceSnapshotNeedsLock);
            before = StateDigest.Of(store);
        }

        await AssertHoldsAsync(_directory.Path, before);
    }

    /// <summary>What the directory holds before each call to the device, a killed process leaves. Each of these copies must open with everything.</summary>
    [Fact]
    public async Task Process_killed_between_any_two_steps_of_a_snapshot_loses_nothing()
    {
        var device = new FaultDevice(_directory.Path);
        var steps = new List<string>();
        var copies = Directory.CreateTempSubdirectory("millrace-steps-").FullName;
        string before;
        await using (var store = NewStore(device))
        {
            for (var i = 0; i < 300; i++)
                await store.AppendAsync("s", Fields($"{i}"));
            await store.SaveAsync();
            for (var i = 0; i < 300; i++)
                await store.AppendAsync("s", Fields($"{i}"));
            before = StateDigest.Of(store);
            device.Fault = (call, name) =>
            {
                Copy(Path.Combine(copies, $"{steps.Count}"));
                steps.Add($"{call} {name}");
                return null;
            };
            await store.SaveAsync();
            device.Fault = static (_, _) => null;
        }

        output.WriteLine($"{steps.Count} kills: {string.Join(", ", steps)}");
        Assert.InRange(steps.Count, 8, 100);
        for (var step = 0; step < steps.Count; step++)
        {
            var copy = Path.Combine(copies, $"{step}");
            await AssertHoldsAsync(copy, before);
            Assert.Empty(Directory.GetFiles(copy, "*.new"));
            Assert.Single(Directory.GetFiles(copy, "*.snapshot"));
        }

        Directory.Delete(copies, recursive: true);
    }

    [Fact]
    public async Task Calls_go_on_while_a_snapshot_is_written_and_closing_leaves_nothing_half_done()
    {
        var device = new FaultDevice(_directory.Path);
        using var reached = new SemaphoreSlim(0);
        using var release = new ManualResetEventSlim();
        var store = NewStore(device);
        for (var i = 0; i < 10; i++)
            await store.AppendAsync("s", Fields(new string('x', 500_000)));
        device.Fault = (call, name) =>
        {
            if (call == "Write" && IsUnfinishedSnapshot(name))
            {
                reached.Release();
                release.Wait();
            }

            return null;
        };
        var saving = store.SaveAsync();
        await reached.WaitAsync(TestContext.Current.CancellationToken);
        Assert.True(store.IsSavingNeedsLock);

        await store.AppendAsync("s", Fields("meanwhile"));
        var again = store.SaveAsync();
        Assert.True(store.IsSaveScheduledNeedsLock);
        Assert.Equal(11, (await store.GetStreamInfoAsync("s"))?.Length);
        var closing = store.DisposeAsync();
        Assert.False(closing.IsCompleted);
        release.Set();
        await closing;

        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => saving)).Code);
        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => again)).Code);
        Assert.DoesNotContain(_directory.FileNames, static name => name.Contains("snapshot", StringComparison.Ordinal));
        await using var after = NewStore();
        Assert.Equal(11, (await after.GetStreamInfoAsync("s"))?.Length);
    }

    [Fact]
    public async Task Snapshot_that_fails_is_told_and_tried_again_and_writes_go_on()
    {
        var device = new FaultDevice(_directory.Path);
        var logger = new ListLogger();
        await using (var store = NewStore(device, logger, afterBytes: 1_250))
        {
            await store.AppendAsync("s", Fields("first"));
            device.Fault = static (call, name) =>
                call == "Write" && IsUnfinishedSnapshot(name)
                    ? new StorageFullException("No space left on device")
                    : null;
            var failed = await Assert.ThrowsAsync<StreamException>(() => store.SaveAsync());
            Assert.Equal(StreamErrorCode.Unavailable, failed.Code);
            Assert.Contains("No space left", failed.Message);
            Assert.True(store.HasSnapshotFailed);
            Assert.False(store.IsBroken);
            Assert.Equal(1, device.Fired);
            Assert.DoesNotContain(_directory.FileNames, static name => name.Contains("snapshot", StringComparison.Ordinal));

            device.Fault = static (_, _) => null;
            for (var i = 0; store.LastSnapshotMs == 0; i++)
            {
                Assert.InRange(i, 0, 100_000);
                await store.AppendAsync("s", Fields(new string('x', 1_000)));
            }

            Assert.False(store.HasSnapshotFailed);
        }

        Assert.Contains(_directory.FileNames, static name => name.EndsWith(".snapshot", StringComparison.Ordinal));
    }

    /// <summary>Its journal is what it holds: a snapshot would write that again, and free nothing.</summary>
    [Fact]
    public async Task Store_that_only_grows_writes_a_snapshot_after_eight_times_the_bytes()
    {
        await using var store = NewStore(afterBytes: 400_000);
        await AppendMegabytesAsync(store, 3.1, trim: null);
        Assert.InRange(store.BytesSinceSnapshot, 3_050_000, 3_200_000);
        await AppendMegabytesAsync(store, 0.2, trim: null);
        await Eventually.TrueAsync("a snapshot was published", () => new(store.LastSnapshotMs > 0));
    }

    [Fact]
    public async Task Store_that_holds_little_of_its_journal_writes_a_snapshot_after_the_bytes()
    {
        await using var store = NewStore(afterBytes: 400_000);
        await AppendMegabytesAsync(store, 0.39, StreamTrim.ToLength(10));
        Assert.Equal(0, store.LastSnapshotMs);
        Assert.InRange(store.BytesSinceSnapshot, 390_000, 400_000);
        await AppendMegabytesAsync(store, 0.05, StreamTrim.ToLength(10));
        await Eventually.TrueAsync("a snapshot was published", () => new(store.LastSnapshotMs > 0));
    }

    [Fact]
    public async Task Empty_store_and_one_that_did_not_change_have_nothing_to_save()
    {
        await using var store = NewStore();
        await store.OpenAsync();
        await store.SaveAsync();
        Assert.DoesNotContain(_directory.FileNames, static name => name.Contains("snapshot", StringComparison.Ordinal));
        await store.AppendAsync("s", Fields("a"));
        await store.SaveAsync();
        var files = _directory.FileNames;
        await store.SaveAsync();
        Assert.Equal(files, _directory.FileNames);
    }

    private static bool IsUnfinishedSnapshot(string name) => name.EndsWith(".snapshot" + JournalFiles.NewSuffix, StringComparison.Ordinal);

    private static EntryFields Fields(string value) => EntryFields.Create(("v", value));

    private static async Task AppendMegabytesAsync(EmbeddedStreamStore store, double megabytes, StreamTrim? trim)
    {
        for (var left = megabytes * 1_000; left > 0; left--)
            await store.AppendAsync("s", Fields(new string('x', 980)), trim);
    }

    /// <summary>Appends, reads in a group, acknowledges, deletes.</summary>
    private static async Task WriteAsync(EmbeddedStreamStore store, int writer)
    {
        for (var i = 0; i < 300; i++)
        {
            var id = await store.AppendAsync($"s{writer}", Fields($"{writer} {i} {new string('x', i % 50)}"));
            if (writer == 0 && i % 3 == 0)
                await store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s0"], Count = 2 });
            if (i % 7 == 0)
                await store.DeleteAsync($"s{writer}", [id]);
        }
    }

    private EmbeddedStreamStore NewStore(
        FaultDevice? device = null, ListLogger? logger = null, SyncPolicy sync = SyncPolicy.EverySecond, long afterBytes = 64 * 1024 * 1024) => new(
        new() { Directory = _directory.Path, Sync = sync, SnapshotAfterBytes = afterBytes, Journal = new() { SegmentBytes = 8_000, FrameBytes = 1_000 } },
        _time,
        logger,
        device is null ? null : () => device);

    private void Copy(string target)
    {
        Directory.CreateDirectory(target);
        foreach (var file in Directory.GetFiles(_directory.Path).Where(static file => !file.EndsWith("LOCK", StringComparison.Ordinal)))
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
    }

    private async Task AssertHoldsAsync(string directory, string digest)
    {
        await using var store = new EmbeddedStreamStore(new() { Directory = directory }, _time);
        await store.OpenAsync(TestContext.Current.CancellationToken);
        Assert.Equal(digest, StateDigest.Of(store));
    }
}
