using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

/// <summary>The file of a snapshot and what it replaces; what its parts mean is the engine's business.</summary>
public sealed class JournalSnapshotTests(ITestOutputHelper output) : IDisposable
{
    private static readonly JournalOptions Small = new() { SegmentBytes = 200, FrameBytes = 100 };

    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    [InlineData(SyncPolicy.Never)]
    public async Task Snapshot_stands_for_the_records_it_covers_and_their_segments_go(SyncPolicy sync)
    {
        await using (var journal = _directory.Open(sync, options: Small))
        {
            await AppendAsync(journal, 0, 10);
            Assert.Equal(100, journal.BytesSinceSnapshot);
            var lsn = journal.BeginSnapshot();
            Assert.Equal(10, lsn);
            Assert.Equal(0, journal.BytesSinceSnapshot);
            await AppendAsync(journal, 10, 12);
            await journal.PublishSnapshotAsync(lsn, Parts("one", "two", new string('x', 300), ""));
            Assert.True(journal.IsSynced(10));
            Assert.Equal(10, journal.SnapshotLsn);
            Assert.Equal(new FileInfo(Path.Combine(_directory.Path, JournalFiles.SnapshotName(10))).Length, journal.SnapshotBytes);
            await AppendAsync(journal, 12, 13);
        }

        Assert.Equal(["00000000000000000005.journal", "00000000000000000010.snapshot", "LOCK"], _directory.FileNames);
        await using (var journal = _directory.Open(sync, options: Small))
        {
            Assert.Equal(["one", "two", new string('x', 300), "", "."], _directory.Parts);
            Assert.Equal([Record(10), Record(11), Record(12)], _directory.Replayed);
            Assert.Equal((10, 30), (journal.SnapshotLsn, journal.BytesSinceSnapshot));
            Assert.Equal(14, journal.Append("next"u8));
            await journal.PublishSnapshotAsync(journal.BeginSnapshot(), Parts("newer"));
        }

        Assert.Equal(["00000000000000000006.journal", "00000000000000000014.snapshot", "LOCK"], _directory.FileNames);
        await using (_directory.Open(sync))
        {
            Assert.Equal(["newer", "."], _directory.Parts);
            Assert.Empty(_directory.Replayed);
        }
    }

    [Fact]
    public async Task Snapshot_covers_exactly_its_records_also_when_others_wait_in_the_same_batch()
    {
        await using (var journal = _directory.Open())
        {
            journal.Append("covered"u8);
            var lsn = journal.BeginSnapshot();
            journal.Append("behind"u8);
            await journal.PublishSnapshotAsync(lsn, Parts("part"));
            await journal.WhenDurableAsync(2);
        }

        Assert.Equal(["00000000000000000001.snapshot", "00000000000000000002.journal", "LOCK"], _directory.FileNames);
        await using (_directory.Open())
            Assert.Equal(["behind"], _directory.Replayed);
    }

    [Fact]
    public async Task Byte_flipped_anywhere_in_a_snapshot_and_every_cut_is_refused()
    {
        await MakeAsync();
        var path = Path.Combine(_directory.Path, JournalFiles.SnapshotName(10));
        var whole = await File.ReadAllBytesAsync(path);
        var refusals = 0;
        for (var at = 0; at < whole.Length; at++)
        {
            var damaged = (byte[])whole.Clone();
            damaged[at] ^= 1;
            await AssertRefusedAsync(damaged);
            await AssertRefusedAsync(whole[..at]);
            refusals += 2;
        }

        await AssertRefusedAsync([.. whole, 0]);
        output.WriteLine($"{refusals} faults fired");
        await File.WriteAllBytesAsync(path, whole);
        await _directory.Open().DisposeAsync();

        async Task AssertRefusedAsync(byte[] bytes)
        {
            await File.WriteAllBytesAsync(path, bytes);
            var refused = Assert.Throws<StreamException>(() => _directory.Open());
            Assert.Equal(StreamErrorCode.Corrupt, refused.Code);
            Assert.Contains(path, refused.Message);
            Assert.Empty(_directory.Replayed);
            Assert.Equal(bytes, await File.ReadAllBytesAsync(path));
        }
    }

    [Fact]
    public async Task Snapshot_or_journal_that_is_missing_is_refused_never_an_empty_store()
    {
        await MakeAsync();
        var snapshot = Path.Combine(_directory.Path, JournalFiles.SnapshotName(10));
        File.Move(snapshot, snapshot + ".aside");
        Assert.Contains("begins with record 11", Assert.Throws<StreamException>(() => _directory.Open()).Message);
        File.Move(snapshot + ".aside", snapshot);

        foreach (var segment in Directory.GetFiles(_directory.Path, "*.journal"))
            File.Delete(segment);
        Assert.Contains("no journal behind it", Assert.Throws<StreamException>(() => _directory.Open()).Message);
    }

    /// <summary>The journal is synced up to a snapshot before that is published, so what it covers cannot be a torn tail.</summary>
    [Fact]
    public async Task Journal_damaged_in_what_the_snapshot_covers_is_damage_although_no_frame_says_it_was_synced()
    {
        using var copy = new JournalDirectory();
        await using (var journal = _directory.Open(SyncPolicy.Never))
        {
            await AppendAsync(journal, 0, 3);
            var lsn = journal.BeginSnapshot();
            File.Copy(_directory.SegmentPath, copy.SegmentPath);
            await journal.PublishSnapshotAsync(lsn, Parts("part"));
            File.Copy(Path.Combine(_directory.Path, JournalFiles.SnapshotName(3)), Path.Combine(copy.Path, JournalFiles.SnapshotName(3)));
        }

        using (var file = File.OpenHandle(copy.SegmentPath, FileMode.Open, FileAccess.Write))
            RandomAccess.SetLength(file, RandomAccess.GetLength(file) - 1);

        Assert.Contains("the snapshot was made after record 3", Assert.Throws<StreamException>(() => copy.Open()).Message);
    }

    [Theory]
    [InlineData("Create")]
    [InlineData("Write")]
    [InlineData("Sync")]
    [InlineData("Rename")]
    public async Task Snapshot_that_fails_leaves_nothing_behind_and_the_journal_goes_on(string call)
    {
        var device = new FaultDevice(_directory.Path);
        await using (var journal = _directory.Open(options: Small, device: device))
        {
            await AppendAsync(journal, 0, 4);
            var lsn = journal.BeginSnapshot();
            device.Fault = (asked, name) =>
                asked == call && name.Contains("snapshot", StringComparison.Ordinal) ? new StorageFullException("No space left on device") : null;
            await Assert.ThrowsAsync<StorageFullException>(() => journal.PublishSnapshotAsync(lsn, Parts("part")));
            device.Fault = (_, _) => null;

            Assert.Equal(1, device.Fired);
            Assert.Null(journal.Failure);
            Assert.DoesNotContain(_directory.FileNames, name => name.Contains("snapshot", StringComparison.Ordinal));
            await AppendAsync(journal, 4, 6);
            await journal.PublishSnapshotAsync(journal.BeginSnapshot(), Parts("again"));
        }

        await using (_directory.Open())
            Assert.Equal(["again", "."], _directory.Parts);
    }

    [Fact]
    public async Task Snapshot_is_given_up_between_two_parts()
    {
        await using var journal = _directory.Open();
        await AppendAsync(journal, 0, 2);
        using var cancellation = new CancellationTokenSource();

        await Assert.ThrowsAsync<OperationCanceledException>(
            () => journal.PublishSnapshotAsync(journal.BeginSnapshot(), PartsUntilCancelled(cancellation), cancellation.Token));

        Assert.Equal(["00000000000000000001.journal", "LOCK"], _directory.FileNames);
    }

    /// <summary>Whatever a crash left of the files that a snapshot replaces, and of one being made, goes at the next start.</summary>
    [Fact]
    public async Task What_a_crash_left_is_deleted_at_the_next_start()
    {
        var device = new FaultDevice(_directory.Path);
        await using (var journal = _directory.Open(options: Small, device: device))
        {
            await AppendAsync(journal, 0, 10);
            await journal.PublishSnapshotAsync(journal.BeginSnapshot(), Parts("first"));
            await AppendAsync(journal, 10, 20);
            var deletes = 0;
            device.Fault = (call, _) => call == "Delete" && ++deletes == 3 ? new IOException("Input/output error") : null;
            await Assert.ThrowsAsync<IOException>(() => journal.PublishSnapshotAsync(journal.BeginSnapshot(), Parts("second")));
            Assert.Equal(1, device.Fired);
            device.Fault = (_, _) => null;
        }

        await File.WriteAllTextAsync(Path.Combine(_directory.Path, JournalFiles.SnapshotName(30) + ".new"), "half");
        await File.WriteAllTextAsync(Path.Combine(_directory.Path, JournalFiles.SegmentName(30) + ".new"), "half");
        Assert.True(_directory.FileNames.Length > 5);

        await using (_directory.Open())
        {
            Assert.Equal(["second", "."], _directory.Parts);
            Assert.Empty(_directory.Replayed);
            Assert.Equal(3, _directory.FileNames.Length);
        }
    }

    private static string Record(int i) => $"record {i:D3}";

    private static Action<Action<ReadOnlyMemory<byte>>> Parts(params string[] parts) => emit =>
    {
        foreach (var part in parts)
            emit(Encoding.UTF8.GetBytes(part));
    };

    private static Action<Action<ReadOnlyMemory<byte>>> PartsUntilCancelled(CancellationTokenSource cancellation) => emit =>
    {
        emit(new byte[10]);
        cancellation.Cancel();
        emit(new byte[10]);
    };

    private static async Task AppendAsync(StreamJournal journal, int from, int to)
    {
        for (var i = from; i < to; i++)
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(Record(i))));
    }

    private async Task MakeAsync()
    {
        await using var journal = _directory.Open(options: Small);
        await AppendAsync(journal, 0, 10);
        var lsn = journal.BeginSnapshot();
        await AppendAsync(journal, 10, 12);
        await journal.PublishSnapshotAsync(lsn, Parts("one", new string('x', 80), "two"));
    }
}
