using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Journal;

/// <summary>
/// What is known as fsyncgate, across a restart: pages of a failed sync look clean and are read as if they were on the device, no later sync writes
/// them, and the start that relied on them acknowledged what a power cut took.
/// </summary>
public sealed class UnsyncedTailTests(ITestOutputHelper output) : IDisposable
{
    private const int FrameBytes = JournalFormat.FrameHeaderBytes;

    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    [InlineData(SyncPolicy.Never)]
    public async Task Fsyncgate_restart_after_a_failed_sync_shows_nothing_that_a_power_cut_takes(SyncPolicy sync)
    {
        var (dropped, evicted) = (0, 0);
        for (var seed = 1; seed <= 30; seed++)
        {
            var disk = new SimulatedDisk();
            var errors = new HashSet<int>();
            var device = Device(disk, seed, errors);
            var journal = _directory.Open(sync, device: device);
            await journal.SyncAsync(journal.Append("synced"u8));
            errors.Add(device.Operations + 2);
            var lsn = journal.Append("its sync fails"u8);
            await Record.ExceptionAsync(() => journal.SyncAsync(lsn));
            device.Kill();
            disk.Kill(new Random(seed), mayDroppedSurvive: true, (kind, _) => dropped += kind == FaultKind.DroppedPage ? 1 : 0);

            // The pages may go while the journal is read. A start that notices shows nothing, and the next one reads what is there.
            device = Device(disk, seed);
            while (Record.Exception(() => journal = _directory.Open(sync, device: device)) is IOException)
            {
                Assert.True(++evicted < 100, "No start reads the journal to its end.");
                device = Device(disk, seed + (1000 * evicted));
            }

            var shown = _directory.Replayed.ToArray();
            await journal.SyncAsync(journal.Append("behind it"u8));
            device.Kill();
            disk.CutPower(new Random(seed), static (_, _) => { });

            await using (_directory.Open(sync, device: Device(disk, seed)))
                Assert.Equal([.. shown, "behind it"], _directory.Replayed);
        }

        output.WriteLine($"restarts that read pages of a failed sync: {dropped}; from which they were taken meanwhile: {evicted}");
        Assert.True(dropped > 0 && evicted > 0);
    }

    /// <summary>The mark of a close whose sync failed is in front of all that comes later, and no power cut may take it alone.</summary>
    [Fact]
    public async Task Mark_whose_sync_failed_leaves_no_hole_before_what_is_written_behind_it()
    {
        var dropped = 0;
        for (var seed = 1; seed <= 30; seed++)
        {
            var disk = new SimulatedDisk();
            var errors = new HashSet<int>();
            var device = Device(disk, seed, errors);
            var journal = _directory.Open(SyncPolicy.Always, device: device);
            await journal.WhenDurableAsync(journal.Append("closed"u8));
            errors.Add(device.Operations + 2);
            await Record.ExceptionAsync(() => journal.DisposeAsync().AsTask());
            disk.Kill(new Random(seed), mayDroppedSurvive: true, (kind, _) => dropped += kind == FaultKind.DroppedPage ? 1 : 0);

            device = Device(disk, seed, evictsPages: false);
            journal = _directory.Open(SyncPolicy.Always, device: device);
            await journal.WhenDurableAsync(journal.Append("behind the mark"u8));
            await journal.WhenDurableAsync(journal.Append("last"u8));
            device.Kill();
            disk.CutPower(new Random(seed), static (_, _) => { });

            await using (_directory.Open(SyncPolicy.Always, device: Device(disk, seed)))
                Assert.Equal(["closed", "behind the mark", "last"], _directory.Replayed);
        }

        output.WriteLine($"marks of a failed sync that a restart read: {dropped}");
        Assert.True(dropped > 0);
    }

    [Fact]
    public async Task Journal_that_was_closed_has_nothing_written_again_but_the_mark()
    {
        await _directory.WriteAsync("one", "two", "three");

        Assert.Equal(FrameBytes, BytesWrittenByStart());
        Assert.Equal(["one", "two", "three"], _directory.Replayed);
    }

    [Fact]
    public async Task Journal_that_was_synced_with_each_record_has_the_last_one_written_again()
    {
        var journal = _directory.Open(SyncPolicy.Always);
        for (var i = 0; i < 100; i++)
            await journal.WhenDurableAsync(journal.Append("record"u8));
        journal.Abandon();

        Assert.Equal(FrameBytes + 1 + "record".Length, BytesWrittenByStart());
    }

    [Fact]
    public async Task Snapshot_is_known_to_be_synced_as_are_the_records_that_it_covers()
    {
        var journal = _directory.Open(SyncPolicy.Never);
        for (var i = 0; i < 100; i++)
            await journal.WhenDurableAsync(journal.Append("covered"u8));
        await journal.PublishSnapshotAsync(journal.BeginSnapshot(), static write => write("state"u8.ToArray()));
        await journal.WhenDurableAsync(journal.Append("behind"u8));
        journal.Abandon();

        Assert.Equal(FrameBytes + 1 + "behind".Length, BytesWrittenByStart());
        Assert.Equal(["behind"], _directory.Replayed);
    }

    [Fact]
    public async Task Segments_that_were_never_synced_are_written_again_as_they_are()
    {
        var options = new JournalOptions { SegmentBytes = 3 * 1024 * 1024 };
        var journal = _directory.Open(SyncPolicy.Never, options: options);
        var random = new Random(1);
        for (var i = 0; i < 40; i++)
            await journal.WhenDurableAsync(journal.Append(Encoding.ASCII.GetBytes(new string((char)('a' + (i % 26)), random.Next(600_000)))));
        await journal.WhenDurableAsync(journal.Append(new byte[5 * 1024 * 1024]));
        journal.Abandon();
        var before = Image();

        Assert.True(before.Count > 4);
        Assert.Equal(before.Values.Sum(static bytes => bytes.Length - JournalFormat.FileHeaderBytes), BytesWrittenByStart());
        Assert.Equal(41, _directory.Replayed.Count);
        Assert.Equal(before, Image());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Device_that_fails_while_it_is_written_again_keeps_the_store_closed_and_loses_nothing(bool isFull)
    {
        var journal = _directory.Open(SyncPolicy.Never);
        await journal.WhenDurableAsync(journal.Append("one"u8));
        await journal.WhenDurableAsync(journal.Append("two"u8));
        journal.Abandon();
        var before = Image();
        var device = new FaultDevice(_directory.Path)
        {
            Fault = (call, _) => call != "Write" ? null : isFull ? new StorageFullException("no room", new IOException()) : new IOException("broken"),
        };

        var failed = Assert.ThrowsAny<IOException>(() => _directory.Open(device: device));

        output.WriteLine($"writes that failed: {device.Fired}");
        Assert.Equal(1, device.Fired);
        Assert.Equal(isFull ? "no room" : "broken", failed.Message);
        Assert.Equal(before, Image());
        await using (_directory.Open())
            Assert.Equal(["one", "two"], _directory.Replayed);
    }

    /// <summary>Opens the journal and lets go of it as a process does that is killed.</summary>
    private long BytesWrittenByStart()
    {
        var device = new FaultDevice(_directory.Path);
        _directory.Open(device: device).Abandon();
        return device.WrittenBytes;
    }

    private SortedDictionary<string, byte[]> Image() => new(
        Directory.GetFiles(_directory.Path, "*.journal").ToDictionary(static file => file, File.ReadAllBytes), StringComparer.Ordinal);

    private static SimulatedDevice Device(SimulatedDisk disk, int seed, HashSet<int>? errors = null, bool evictsPages = true)
    {
        var plan = new LifePlan
        {
            Random = new(seed),
            WorkloadSeed = 0,
            Operations = 0,
            Crash = default,
            Errors = errors ?? [],
            LocksHeld = int.MaxValue,
            EvictsPages = evictsPages,
            FullAt = 0,
            Flips = 0,
            EndsByPowerCut = false,
            Closes = false,
        };
        return new(disk, plan, plan.Random, new(), new());
    }
}
