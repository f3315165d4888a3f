using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

public sealed class JournalSegmentTests(ITestOutputHelper output) : IDisposable
{
    /// <summary>Three records of ten bytes fit into a segment, each in a frame of its own.</summary>
    private static readonly JournalOptions Small = new() { SegmentBytes = 200 };

    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    [InlineData(SyncPolicy.Never)]
    public async Task Segments_follow_each_other_and_are_read_as_one_journal(SyncPolicy sync)
    {
        var records = await WriteAsync(sync, 10);

        Assert.Equal(["00000000000000000001.journal", "00000000000000000002.journal"], Segments()[..2]);
        Assert.Equal(4, Segments().Length);
        await using (_directory.Open(sync, options: Small))
            Assert.Equal(records, _directory.Replayed);
        await using (_directory.Open(sync))
            Assert.Equal(records, _directory.Replayed);
    }

    [Fact]
    public async Task One_batch_may_fill_several_segments()
    {
        var options = Small with { FrameBytes = 30 };
        var records = Enumerable.Range(0, 50).Select(Record).ToArray();
        await using (var journal = _directory.Open(SyncPolicy.Always, options: options))
        {
            foreach (var record in records)
                journal.Append(Encoding.UTF8.GetBytes(record));
            await journal.WhenDurableAsync(50);
        }

        Assert.True(Segments().Length > 5);
        await using (_directory.Open(options: options))
            Assert.Equal(records, _directory.Replayed);
    }

    [Theory]
    [InlineData(1, "begins with record 4")]
    [InlineData(2, "00000000000000000002.journal' is missing")]
    [InlineData(4, "00000000000000000004.journal' is missing")]
    public async Task Segment_that_is_missing_is_named_also_the_last_one(int segment, string named)
    {
        await WriteAsync(SyncPolicy.EverySecond, 10);
        File.Delete(_directory.PathOf(segment));
        var before = _directory.FileNames;

        var refused = Assert.Throws<StreamException>(() => _directory.Open());

        Assert.Equal(StreamErrorCode.Corrupt, refused.Code);
        Assert.Contains(named, refused.Message);
        Assert.Contains($"millrace journal salvage '{_directory.Path}'", refused.Message);
        Assert.Equal(before, _directory.FileNames);
    }

    [Fact]
    public async Task Segment_that_was_renamed_or_swapped_is_refused()
    {
        await WriteAsync(SyncPolicy.EverySecond, 10);
        File.Move(_directory.PathOf(4), _directory.PathOf(5));
        Assert.Contains("renamed", Assert.Throws<StreamException>(() => _directory.Open()).Message);

        File.Move(_directory.PathOf(5), Path.Combine(_directory.Path, "copy.journal"));
        Assert.Contains("copy.journal", Assert.Throws<StreamException>(() => _directory.Open()).Message);
    }

    [Fact]
    public async Task Byte_flipped_anywhere_in_any_segment_is_never_served_and_changes_nothing()
    {
        await WriteAsync(SyncPolicy.EverySecond, 10);
        var flips = 0;
        foreach (var path in Segments().Select(name => Path.Combine(_directory.Path, name)))
        {
            var whole = await File.ReadAllBytesAsync(path);
            var isLast = path.EndsWith("4.journal", StringComparison.Ordinal);

            // Behind the last record is the mark: without it nothing is lost, and the tail that it becomes is cut off.
            for (var at = 0; at < whole.Length - (isLast ? JournalFormat.FrameHeaderBytes : 0); at++, flips++)
            {
                var damaged = (byte[])whole.Clone();
                damaged[at] ^= 0x10;
                await File.WriteAllBytesAsync(path, damaged);
                var before = _directory.FileNames;

                Assert.Equal(StreamErrorCode.Corrupt, Assert.Throws<StreamException>(() => _directory.Open()).Code);

                Assert.Equal(before, _directory.FileNames);
                Assert.Equal(damaged, await File.ReadAllBytesAsync(path));
            }

            await File.WriteAllBytesAsync(path, whole);
        }

        output.WriteLine($"{flips} flips fired");
        Assert.True(flips > 500);
    }

    [Fact]
    public async Task Unsynced_tail_of_an_older_segment_takes_the_later_segments_along()
    {
        using var crashed = await CrashAsync(SyncPolicy.Never, 10);
        using (var file = File.OpenHandle(crashed.PathOf(2), FileMode.Open, FileAccess.Write))
            RandomAccess.SetLength(file, RandomAccess.GetLength(file) - JournalFormat.FrameHeaderBytes - 5);

        var log = new ListLogger();
        await using (var journal = crashed.Open(logger: log, options: Small))
        {
            Assert.Equal(Enumerable.Range(0, 5).Select(Record), crashed.Replayed);
            Assert.Equal(6, journal.Append("new"u8));
        }

        Assert.Contains(log.Lines, line => line.Contains("truncated") && line.Contains("2 segments"));
        Assert.Contains("00000000000000000003.journal.bad", crashed.FileNames);
        await using (crashed.Open(options: Small))
            Assert.Equal([.. Enumerable.Range(0, 5).Select(Record), "new"], crashed.Replayed);
    }

    /// <summary>The length of a file is not durable before its bytes are: an older segment may end between two frames, and the next one be there.</summary>
    [Fact]
    public async Task Unsynced_end_of_an_older_segment_that_never_came_is_a_torn_tail_too()
    {
        using var crashed = await CrashAsync(SyncPolicy.Never, 10);
        using (var file = File.OpenHandle(crashed.PathOf(2), FileMode.Open, FileAccess.Write))
            RandomAccess.SetLength(file, JournalFormat.FileHeaderBytes);

        await using (crashed.Open(options: Small))
            Assert.Equal(Enumerable.Range(0, 3).Select(Record), crashed.Replayed);
    }

    [Fact]
    public async Task Synced_end_of_an_older_segment_that_is_missing_is_damage()
    {
        using var crashed = await CrashAsync(SyncPolicy.Always, 10);
        using (var file = File.OpenHandle(crashed.PathOf(2), FileMode.Open, FileAccess.Write))
            RandomAccess.SetLength(file, JournalFormat.FileHeaderBytes);

        var refused = Assert.Throws<StreamException>(() => crashed.Open());

        Assert.Contains("damaged at offset 40: record 4 is missing", refused.Message);
        Assert.Contains("00000000000000000003.journal", refused.Message);
    }

    [Fact]
    public async Task Segment_that_cannot_be_made_lets_the_present_one_go_on()
    {
        var device = new FaultDevice(_directory.Path);
        var log = new ListLogger();
        var journal = _directory.Open(logger: log, options: Small with { FrameBytes = 1 }, device: device);
        device.Fault = (call, name) => call == "Create" && name.StartsWith("00000000000000000002", StringComparison.Ordinal)
            ? new IOException("Too many open files") : null;
        for (var i = 0; i < 6; i++)
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(Record(i))));
        Assert.Single(Segments());

        device.Fault = (_, _) => null;
        await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(Record(6))));
        Assert.Equal(2, Segments().Length);
        await journal.DisposeAsync();

        output.WriteLine($"{device.Fired} faults fired");
        Assert.True(device.Fired > 0);
        Assert.Contains(log.Lines, line => line.Contains("Too many open files"));
        await using (_directory.Open())
            Assert.Equal(Enumerable.Range(0, 7).Select(Record), _directory.Replayed);
    }

    [Fact]
    public async Task Directory_taken_by_another_process_is_noticed_at_the_next_segment_and_left_alone()
    {
        var journal = _directory.Open(options: Small);
        for (var i = 0; i < 3; i++)
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(Record(i))));
        File.Delete(Path.Combine(_directory.Path, "LOCK"));
        await File.WriteAllTextAsync(Path.Combine(_directory.Path, "LOCK"), "process 4711 on another\nepoch 0011223344556677\n");
        var before = await File.ReadAllBytesAsync(_directory.SegmentPath);

        var lsn = journal.Append("one too many"u8);
        var refused = await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lsn).AsTask());

        Assert.Equal(StreamErrorCode.OutcomeUnknown, refused.Code);
        Assert.Contains("Another process has taken the directory", refused.Message);
        Assert.True(journal.IsLatched);
        await journal.DisposeAsync();
        Assert.Equal(before, await File.ReadAllBytesAsync(_directory.SegmentPath));
        Assert.Single(Segments());
    }

    [Theory]
    [InlineData("Sync")]
    [InlineData("Rename")]
    [InlineData("SyncDirectory")]
    public async Task Segment_that_fails_after_it_was_made_latches_and_loses_nothing_acknowledged(string call)
    {
        var device = new FaultDevice(_directory.Path);
        var journal = _directory.Open(SyncPolicy.Always, options: Small, device: device);
        for (var i = 0; i < 3; i++)
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(Record(i))));
        device.Fault = (asked, _) => asked == call ? new IOException("Input/output error") : null;

        var lsn = journal.Append("lost"u8);
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lsn).AsTask());

        Assert.True(journal.IsLatched);
        await journal.DisposeAsync();
        output.WriteLine($"{device.Fired} faults fired");
        Assert.Equal(1, device.Fired);
        await using (_directory.Open(options: Small))
            Assert.Equal(Enumerable.Range(0, 3).Select(Record), _directory.Replayed);
    }

    [Fact]
    public async Task Tails_set_aside_are_kept_up_to_a_number()
    {
        for (var i = 0; i < 12; i++)
        {
            await _directory.WriteAsync($"record {i}");
            await File.AppendAllTextAsync(_directory.SegmentPath, "torn");
        }

        await _directory.Open().DisposeAsync();

        Assert.Equal(8, _directory.FileNames.Count(name => name.EndsWith(".bad", StringComparison.Ordinal)));
        await using (_directory.Open())
            Assert.Equal(12, _directory.Replayed.Count);
    }

    private static string Record(int i) => $"record {i:D3}";

    private string[] Segments() => [.. _directory.FileNames.Where(name => name.EndsWith(".journal", StringComparison.Ordinal))];

    private async Task<string[]> WriteAsync(SyncPolicy sync, int count)
    {
        var records = Enumerable.Range(0, count).Select(Record).ToArray();
        await using var journal = _directory.Open(sync, options: Small);
        foreach (var record in records)
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(record)));
        return records;
    }

    /// <summary>The files as they are while the journal is open.</summary>
    private async Task<JournalDirectory> CrashAsync(SyncPolicy sync, int count)
    {
        var copy = new JournalDirectory();
        await using var journal = _directory.Open(sync, options: Small);
        for (var i = 0; i < count; i++)
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(Record(i))));
        foreach (var name in Segments())
            File.Copy(Path.Combine(_directory.Path, name), Path.Combine(copy.Path, name));
        return copy;
    }
}
