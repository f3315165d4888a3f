using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;
using Millrace.Tests.Embedded;

namespace Millrace.Tests.Journal;

/// <summary>A device that fills up and gets room again, below the journal and below a store.</summary>
public sealed class JournalFullTests(ITestOutputHelper output) : IDisposable
{
    private readonly JournalDirectory _directory = new();
    private readonly ManualTime _time = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    [InlineData(SyncPolicy.Never)]
    public async Task Full_device_refuses_writes_and_goes_on_by_itself_where_it_failed(SyncPolicy sync)
    {
        var device = new FaultDevice(_directory.Path);
        var log = new ListLogger();
        var journal = _directory.Open(sync, _time, log, device: device);
        await journal.WhenDurableAsync(journal.Append("before"u8));
        var length = new FileInfo(_directory.SegmentPath).Length;

        device.Fault = FullOn("Write");
        var lsn = journal.Append("under way"u8);
        var refused = await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lsn).AsTask());

        Assert.Equal(StreamErrorCode.OutcomeUnknown, refused.Code);
        Assert.True(refused.IsTransient);
        Assert.Contains("full", refused.Message);
        Assert.InRange(new FileInfo(_directory.SegmentPath).Length, 1, length);
        Assert.Equal(StreamErrorCode.ReadOnly, Assert.Throws<StreamException>(() => journal.CheckAppend(1)).Code);
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lsn).AsTask());
        await journal.WhenDurableAsync(1);

        // Still full: tried, and refused again.
        _time.Move(TimeSpan.FromSeconds(1));
        Assert.IsType<StorageFullException>(journal.Failure);

        device.Fault = (_, _) => null;
        _time.Move(TimeSpan.FromSeconds(1));

        Assert.Null(journal.Failure);
        await journal.WhenDurableAsync(lsn);
        journal.CheckAppend(1);
        await journal.WhenDurableAsync(journal.Append("after"u8));
        await journal.DisposeAsync();
        output.WriteLine($"{device.Fired} faults fired");
        Assert.Equal(2, device.Fired);
        Assert.Contains(log.Lines, line => line.Contains("takes writes again"));
        await using (_directory.Open())
            Assert.Equal(["before", "under way", "after"], _directory.Replayed);
    }

    /// <summary>A record that was checked before the device filled up is appended: the engine has applied it.</summary>
    [Fact]
    public async Task Record_checked_before_the_failure_waits_for_room_with_the_batch()
    {
        var device = new FaultDevice(_directory.Path);
        var journal = _directory.Open(time: _time, device: device);
        device.Fault = FullOn("Write");
        var first = journal.Append("first"u8);
        journal.CheckAppend(6);
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(first).AsTask());

        var second = journal.Append("second"u8);
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(second).AsTask());
        device.Fault = (_, _) => null;
        _time.Move(TimeSpan.FromSeconds(1));

        await Fixtures.Eventually.TrueAsync("the second batch follows the first", () => new(journal.IsDurable(second)));
        await journal.DisposeAsync();
        await using (_directory.Open())
            Assert.Equal(["first", "second"], _directory.Replayed);
    }

    [Fact]
    public async Task Batch_of_many_frames_and_segments_is_taken_up_in_the_middle()
    {
        var options = new JournalOptions { FrameBytes = 30, SegmentBytes = 200 };
        var device = new FaultDevice(_directory.Path);
        var journal = _directory.Open(SyncPolicy.Always, _time, options: options, device: device);
        var writes = 0;
        device.Fault = (call, name) => call == "Write" && ++writes % 3 == 0 ? new StorageFullException("No space left on device") : null;
        var records = Enumerable.Range(0, 40).Select(i => $"record {i:D3}").ToArray();
        foreach (var record in records)
            journal.Append(Encoding.UTF8.GetBytes(record));

        var tries = 1;
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(40).AsTask());
        for (; !journal.IsDurable(40); tries++)
            _time.Move(TimeSpan.FromSeconds(1));

        output.WriteLine($"{device.Fired} faults fired, {tries} tries");
        Assert.InRange(tries, 5, 60);
        device.Fault = (_, _) => null;
        await journal.DisposeAsync();
        await using (_directory.Open(options: options))
            Assert.Equal(records, _directory.Replayed);
    }

    [Fact]
    public async Task Full_device_whose_torn_frame_cannot_be_cut_off_latches()
    {
        var device = new FaultDevice(_directory.Path);
        var journal = _directory.Open(time: _time, device: device);
        device.Fault = (call, _) => call switch
        {
            "Write" => new StorageFullException("No space left on device"),
            "SetLength" => new IOException("Input/output error"),
            _ => null,
        };
        var lsn = journal.Append("lost"u8);
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lsn).AsTask());

        Assert.True(journal.IsLatched);
        await journal.DisposeAsync();
        Assert.Equal(2, device.Fired);
        await using (_directory.Open())
            Assert.Empty(_directory.Replayed);
    }

    [Fact]
    public async Task Write_that_fails_for_another_reason_latches()
    {
        var device = new FaultDevice(_directory.Path);
        var journal = _directory.Open(time: _time, device: device);
        device.Fault = (call, _) => call == "Write" ? new IOException("Input/output error") : null;
        var lsn = journal.Append("lost"u8);
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lsn).AsTask());
        device.Fault = (_, _) => null;
        _time.Move(TimeSpan.FromMinutes(1));

        Assert.True(journal.IsLatched);
        Assert.Equal(1, device.Fired);
        await journal.DisposeAsync();
        await using (_directory.Open())
            Assert.Empty(_directory.Replayed);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Close_tries_a_last_time(bool hasRoom)
    {
        var device = new FaultDevice(_directory.Path);
        var journal = _directory.Open(time: _time, device: device);
        device.Fault = FullOn("Write");
        var lsn = journal.Append("last"u8);
        await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lsn).AsTask());
        if (hasRoom)
            device.Fault = (_, _) => null;

        if (hasRoom)
            await journal.DisposeAsync();
        else
            await Assert.ThrowsAsync<StreamException>(() => journal.DisposeAsync().AsTask());

        await using (_directory.Open())
            Assert.Equal(hasRoom ? ["last"] : [], _directory.Replayed);
    }

    [Fact]
    public async Task Store_says_so_refuses_what_is_not_durable_and_serves_again_without_a_restart()
    {
        var device = new FaultDevice(_directory.Path);
        await using var store = new EmbeddedStreamStore(new(), _time, logger: null, () => device);
        await store.AppendAsync("s", Fields("before"));
        Assert.Equal(StoreState.Writable, store.Health.State);

        device.Fault = FullOn("Write");
        await AssertFailsAsync(StreamErrorCode.OutcomeUnknown, store.AppendAsync("s", Fields("under way")).AsTask());
        Assert.Equal(new(StoreState.DiskFull, "No space left on device"), store.Health);
        await AssertFailsAsync(StreamErrorCode.ReadOnly, store.AppendAsync("s", Fields("refused")).AsTask());
        await AssertFailsAsync(StreamErrorCode.ReadOnly, store.CommitAsync(Publishing("refused")).AsTask());
        await AssertFailsAsync(StreamErrorCode.ReadOnly, store.RangeAsync("s", new()).AsTask());
        await AssertFailsAsync(StreamErrorCode.ReadOnly, store.ReadAsync([new("s", EntryId.Zero)], 10, TimeSpan.Zero).AsTask());

        device.Fault = (_, _) => null;
        _time.Move(TimeSpan.FromSeconds(1));
        Assert.Equal(new(StoreState.Writable, null), store.Health);
        await store.AppendAsync("s", Fields("after"));

        Assert.Equal(["before", "under way", "after"], (await store.RangeAsync("s", new())).Select(entry => entry.Fields.GetText("v"u8)));
        await store.DisposeAsync();
        await using var again = new EmbeddedStreamStore(new() { Directory = _directory.Path }, _time);
        Assert.Equal(["before", "under way", "after"], (await again.RangeAsync("s", new())).Select(entry => entry.Fields.GetText("v"u8)));
    }

    /// <summary>Both were told that nothing was changed, and the first was written when there was room.</summary>
    [Fact]
    public async Task Commits_between_which_the_device_fills_up_are_in_doubt()
    {
        var device = new FaultDevice(_directory.Path);
        await using var store = new EmbeddedStreamStore(new(), _time, logger: null, () => device);
        await store.OpenAsync();
        FillUpAfter(store, device, records: 1);

        await AssertFailsAsync(StreamErrorCode.OutcomeUnknown, store.CommitAsync([Publishing("first"), Publishing("second")]).AsTask());

        device.Fault = (_, _) => null;
        _time.Move(TimeSpan.FromSeconds(1));
        Assert.Equal(["first"], (await store.RangeAsync("s", new())).Select(entry => entry.Fields.GetText("v"u8)));
        Assert.Equal(1, device.Fired);
    }

    /// <summary>
    /// What is due could not be moved at the end of the call, which failed for that: the read waited on for nobody, and would have had the next entry
    /// delivered to it.
    /// </summary>
    [Fact]
    public async Task Read_that_begins_to_wait_while_the_device_fills_up_is_served_when_there_is_room()
    {
        var device = new FaultDevice(_directory.Path);
        await using var store = new EmbeddedStreamStore(new(), _time, logger: null, () => device);
        await store.CreateGroupAsync("s", "g", GroupStart.Beginning);

        // More than the timer moves by itself, and the beginning of the call: 1,000 each time, before and after what it is there for.
        for (var i = 0; i < 4; i++)
            await store.CommitAsync(new Commit
            {
                Changes = [.. Enumerable.Repeat<CommitChange>(new CommitChange.Schedule("due", Fields("due"), TimeSpan.FromSeconds(5)), 900)],
            });
        _time.Move(TimeSpan.FromSeconds(5));
        FillUpAfter(store, device, records: 2);
        var reading = store.ReadGroupAsync(
            new() { Group = "g", Consumer = "c", Streams = ["s"], Count = 10, Block = TimeSpan.FromMinutes(1) }).AsTask();
        Assert.False(reading.IsCompleted);

        device.Fault = (_, _) => null;
        _time.Move(TimeSpan.FromSeconds(1));
        _time.Move(TimeSpan.FromSeconds(1));
        var id = await store.AppendAsync("s", Fields("after"));

        var batch = Assert.Single(await reading.WaitAsync(Fixtures.Eventually.Deadline));
        Assert.Equal(id, Assert.Single(batch.Entries).Id);
        Assert.Equal(3_600, (await store.GetStreamInfoAsync("due"))!.Length);
        Assert.Equal(1, device.Fired);
    }

    /// <summary>
    /// The timer was not set again once the journal had refused, so that who waited for a scheduled entry waited on until somebody called the store.
    /// </summary>
    [Fact]
    public async Task What_came_due_while_the_device_was_full_is_done_when_there_is_room_although_nobody_calls()
    {
        var device = new FaultDevice(_directory.Path);
        await using var store = new EmbeddedStreamStore(new(), _time, logger: null, () => device);
        await store.CommitAsync(new Commit { Changes = [new CommitChange.Schedule("later", Fields("due"), TimeSpan.FromSeconds(10))] });
        var waiting = store.ReadAsync([new("later", EntryId.Zero)], 10, TimeSpan.FromMinutes(5)).AsTask();
        device.Fault = FullOn("Write");
        await Assert.ThrowsAsync<StreamException>(() => store.AppendAsync("s", Fields("under way")).AsTask());

        for (var second = 0; second < 15; second++)
            _time.Move(TimeSpan.FromSeconds(1));
        Assert.False(waiting.IsCompleted);
        device.Fault = (_, _) => null;
        _time.Move(TimeSpan.FromSeconds(1));
        _time.Move(TimeSpan.FromSeconds(1));

        var batch = Assert.Single(await waiting.WaitAsync(Fixtures.Eventually.Deadline));
        Assert.Equal("due", Assert.Single(batch.Entries).Fields.GetText("v"u8));
        output.WriteLine($"{device.Fired} faults fired");
        Assert.True(device.Fired > 10);
    }

    private static Func<string, string, Exception?> FullOn(string call) =>
        (asked, _) => asked == call ? new StorageFullException("No space left on device") : null;

    private static EntryFields Fields(string value) => EntryFields.Create(("v", value));

    private static Commit Publishing(string value) => new() { Changes = [new CommitChange.Append("s", Fields(value))] };

    /// <summary>Lets the device fill up, as another caller finds it, when the store has appended its next records but not let go of its lock.</summary>
    private static void FillUpAfter(EmbeddedStreamStore store, FaultDevice device, int records)
    {
        var lsn = store.LastLsnNeedsLock;
        store.Recorded = _ =>
        {
            lsn++;
            if (--records > 0)
                return;
            store.Recorded = null;
            device.Fault = FullOn("Write");
            Assert.Throws<StreamException>(() => store.WhenDurableAsync(lsn).AsTask().GetAwaiter().GetResult());
        };
    }

    private static async Task AssertFailsAsync(StreamErrorCode expected, Task call) =>
        Assert.Equal(expected, (await Assert.ThrowsAsync<StreamException>(() => call)).Code);
}
