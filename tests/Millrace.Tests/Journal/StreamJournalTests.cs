using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

public sealed class StreamJournalTests : IDisposable
{
    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    [InlineData(SyncPolicy.Never)]
    public async Task Records_reopened_come_back_in_order_with_consecutive_numbers(SyncPolicy sync)
    {
        await using (var journal = _directory.Open(sync))
        {
            Assert.Empty(_directory.Replayed);
            Assert.Equal(1, journal.Append("one"u8));
            Assert.Equal(2, journal.Append(""u8));
            await journal.WhenDurableAsync(2);
            Assert.Equal(3, journal.Append("three"u8));
            await journal.WhenDurableAsync(3);
        }

        await using (var journal = _directory.Open(sync))
        {
            Assert.Equal(["one", "", "three"], _directory.Replayed);
            Assert.Equal(4, journal.Append("four"u8));
            await journal.WhenDurableAsync(4);
        }

        await using (_directory.Open(sync))
            Assert.Equal(["one", "", "three", "four"], _directory.Replayed);
    }

    [Fact]
    public async Task Record_waited_for_is_in_the_file_before_the_journal_closes()
    {
        await using var journal = _directory.Open();
        await journal.WhenDurableAsync(journal.Append("written"u8));

        Assert.Contains("written", Encoding.UTF8.GetString(await File.ReadAllBytesAsync(_directory.SegmentPath)));
    }

    [Fact]
    public async Task Record_nobody_waited_for_is_written_at_close()
    {
        await using (var journal = _directory.Open())
            journal.Append("left behind"u8);

        await using (_directory.Open())
            Assert.Equal(["left behind"], _directory.Replayed);
    }

    [Fact]
    public async Task Large_records_survive_and_too_large_ones_are_refused_before_anything_is_appended()
    {
        var large = new string('x', 3 * 1024 * 1024);
        await using (var journal = _directory.Open())
        {
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(large)));
            var refused = Assert.Throws<StreamException>(() => journal.Append(new byte[JournalFormat.MaxRecordBytes + 1]));
            Assert.Equal(StreamErrorCode.LimitExceeded, refused.Code);
            Assert.Equal(2, journal.Append("small"u8));
        }

        await using (_directory.Open())
            Assert.Equal([large, "small"], _directory.Replayed);
    }

    [Fact]
    public async Task Batch_that_is_full_refuses_with_busy_and_takes_records_again_after_a_write()
    {
        var record = new byte[JournalFormat.MaxRecordBytes];
        await using var journal = _directory.Open(SyncPolicy.Never);
        var room = journal.WhenRoomAsync();
        Assert.True(room.IsCompletedSuccessfully);
        await room;

        for (var i = 0; i < 4; i++)
            journal.Append(record);
        Assert.Equal(StreamErrorCode.Busy, Assert.Throws<StreamException>(() => journal.Append(record)).Code);

        await journal.WhenRoomAsync();
        Assert.Equal(5, journal.Append("room again"u8));
    }

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    public async Task Concurrent_appenders_all_become_durable_in_the_order_of_their_numbers(SyncPolicy sync)
    {
        const int Writers = 16, Each = 200;
        var storeLock = new Lock();
        var expected = new string[Writers * Each];
        await using (var journal = _directory.Open(sync))
        {
            await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
            {
                for (var i = 0; i < Each; i++)
                {
                    var text = $"writer {writer} record {i}";
                    long lsn;
                    lock (storeLock)
                    {
                        lsn = journal.Append(Encoding.UTF8.GetBytes(text));
                        expected[lsn - 1] = text;
                    }

                    await journal.WhenDurableAsync(lsn);
                }
            })));

            // Everything was acknowledged, so everything is in the file although the journal is still open.
            Assert.Equal(expected, ReadRecords(_directory.SegmentPath));
        }

        await using (_directory.Open())
            Assert.Equal(expected, _directory.Replayed);
    }

    [Fact]
    public async Task Directory_held_by_this_process_is_refused_naming_the_holder_and_the_directory()
    {
        await using var journal = _directory.Open();

        var refused = Assert.Throws<StreamException>(() => _directory.Open());

        Assert.Equal(StreamErrorCode.Locked, refused.Code);
        Assert.Contains($"process {Environment.ProcessId} ", refused.Message);
        Assert.Contains(_directory.Path, refused.Message);
    }

    [Fact]
    public async Task Directory_is_free_again_after_the_journal_closed()
    {
        await _directory.Open().DisposeAsync();

        await using var second = _directory.Open();
        Assert.Equal(1, second.Append("mine"u8));
    }

    [Fact]
    public async Task Directory_that_is_missing_is_made_with_those_above_it_for_its_owner_alone()
    {
        var nested = Path.Combine(_directory.Path, "a", "b");
        var device = DiskDevice.Open(nested + Path.DirectorySeparatorChar);
        await using (_directory.Open(device: device))
            Assert.True(File.Exists(Path.Combine(nested, JournalFiles.SegmentName(1))));

        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(nested));
    }

    [Fact]
    public async Task Closed_journal_refuses_records_and_may_be_closed_twice()
    {
        var journal = _directory.Open();
        await journal.DisposeAsync();
        await journal.DisposeAsync();

        Assert.Equal(StreamErrorCode.Closed, Assert.Throws<StreamException>(() => journal.Append("late"u8)).Code);
    }

    /// <summary>It was told that the journal was closed, which for all other callers means that nothing was written, and then it was.</summary>
    [Fact]
    public async Task Record_appended_before_the_journal_closes_is_acknowledged_while_it_does()
    {
        var time = new ClosingTime();
        var journal = _directory.Open(time: time);
        var lsn = journal.Append("last"u8);
        Task? waiting = null;
        time.OnClose = () => waiting ??= journal.WhenDurableAsync(lsn).AsTask();

        await journal.DisposeAsync();

        await waiting!;
        await using (_directory.Open())
            Assert.Equal(["last"], _directory.Replayed);
    }

    [Fact]
    public async Task Closing_amid_writes_keeps_what_was_acknowledged_and_frees_the_directory()
    {
        for (var round = 0; round < 10; round++)
        {
            var acknowledged = 0;
            var journal = _directory.Open(SyncPolicy.Never);
            var before = _directory.Replayed.Count;
            var storeLock = new Lock();
            var writers = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
            {
                while (true)
                {
                    long lsn;
                    lock (storeLock)
                        lsn = journal.Append("record"u8);
                    await journal.WhenDurableAsync(lsn);
                    Interlocked.Increment(ref acknowledged);
                }
            })).ToList();
            await Fixtures.Eventually.TrueAsync("records are written", () => new(Volatile.Read(ref acknowledged) > 4));

            await journal.DisposeAsync();

            foreach (var writer in writers)
                Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => writer)).Code);
            await _directory.Open().DisposeAsync();
            Assert.Equal(before + acknowledged, _directory.Replayed.Count); // Who had appended was told what became of it.
        }
    }

    [Fact]
    public async Task Replay_that_fails_names_the_record_and_leaves_the_directory_free()
    {
        await _directory.WriteAsync("one", "two");

        var refused = Assert.Throws<StreamException>(() => StreamJournal.Open(
            DiskDevice.Open(_directory.Path), new(), TimeProvider.System, NullLogger.Instance, new RefusingReplay()));

        Assert.Equal(StreamErrorCode.Corrupt, refused.Code);
        Assert.Contains("Record 1 before offset 76", refused.Message);
        Assert.Contains("no such mutation", refused.Message);
        await _directory.Open().DisposeAsync();
    }

    private static List<string> ReadRecords(string path)
    {
        using var device = DiskDevice.Open(Directory.CreateTempSubdirectory("millrace-copy-").FullName);
        File.Copy(path, Path.Combine(device.Path, "copy"));
        using var file = device.Open("copy", writable: false);
        var reader = new FrameReader(file, isSnapshot: false, path);
        List<string> all = [];
        while (reader.TryRead(all.Count + 1, out var frame, out var payload))
        {
            var records = new FrameRecords(payload);
            for (var i = 0; i < frame.Count; i++)
            {
                Assert.True(records.TryNext(out var record));
                all.Add(Encoding.UTF8.GetString(record));
            }
        }

        Assert.True(reader.IsOver());
        return all;
    }

    /// <summary>Whose timers say when they are disposed of: the journal is closing then, and has not yet written what is left.</summary>
    private sealed class ClosingTime : TimeProvider, ITimer
    {
        public Action? OnClose { get; set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => this;

        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose() => OnClose?.Invoke();

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }

    private sealed class RefusingReplay : IJournalReplay
    {
        public void Snapshot(IEnumerable<ReadOnlyMemory<byte>> parts) => throw new InvalidOperationException();

        public void Record(ReadOnlySpan<byte> record) => throw new FormatException("no such mutation");
    }
}
