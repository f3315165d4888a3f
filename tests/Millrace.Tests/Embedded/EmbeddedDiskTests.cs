using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Embedded;

public sealed class EmbeddedDiskTests : IDisposable
{
    private readonly JournalDirectory _directory = new();
    private readonly ManualTime _time = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Directory_that_cannot_be_made_is_named_and_may_be_tried_again()
    {
        var blocker = Path.Combine(_directory.Path, "data");
        await File.WriteAllTextAsync(blocker, "a file where the directory is meant to be");
        await using var store = new EmbeddedStreamStore(new() { Directory = blocker });

        var failed = await Assert.ThrowsAsync<StreamException>(() => store.AppendAsync("s", Fields("a")).AsTask());

        Assert.Equal(StreamErrorCode.Unavailable, failed.Code);
        Assert.Contains(blocker, failed.Message);
        File.Delete(blocker);
        await store.AppendAsync("s", Fields("a"));
    }

    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    [InlineData(SyncPolicy.Never)]
    public async Task Restart_brings_everything_back(SyncPolicy sync)
    {
        var key = new StateKey("s", "doc");
        var before = NewStore(sync);
        await before.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var ids = await before.AppendManyAsync("s", [Fields("a"), Fields("b"), Fields("c")]);
        await ReadAsync(before, "c", count: 2);
        await before.ClaimAsync("s", "g", new() { Consumer = "d", Ids = [ids[1]], MinIdleTime = TimeSpan.Zero });
        await before.AckAsync("s", "g", [ids[0]]);
        await before.DeleteAsync("s", [ids[0]]);
        await before.CommitAsync(new Commit
        {
            Changes =
            [
                new CommitChange.PutState(key, new byte[] { 1, 2 }, TimeSpan.FromSeconds(10)),
                new CommitChange.Schedule("s", Fields("later"), TimeSpan.FromSeconds(5)),
            ],
        });
        var (info, group) = (await before.GetStreamInfoAsync("s"), await before.GetGroupsAsync("s"));
        var state = await before.GetStateAsync(key);
        await before.DisposeAsync();

        await using var after = NewStore(sync);
        await after.OpenAsync();
        await after.OpenAsync();

        Assert.Equal(info, await after.GetStreamInfoAsync("s"));
        Assert.Equal(group, await after.GetGroupsAsync("s"));
        var pending = Assert.Single(await after.PendingAsync("s", "g", new()));
        Assert.Equal((ids[1], "d", 2L), (pending.Id, pending.Consumer, pending.DeliveryCount));
        Assert.Equal(state!.Version, (await after.GetStateAsync(key))!.Version);
        Assert.Equal([1, 2], (await after.GetStateAsync(key))!.Payload.ToArray());

        // The timer of the new store is set by its recovery, before any call.
        _time.Move(TimeSpan.FromSeconds(5));
        Assert.Equal(["b", "c", "later"], (await after.RangeAsync("s", new())).Select(entry => entry.Fields.GetText("v"u8)));
        _time.Move(TimeSpan.FromSeconds(5));
        Assert.Null(await after.GetStateAsync(key));
    }

    [Fact]
    public async Task What_came_due_while_the_store_was_closed_is_done_at_the_next_start()
    {
        var before = NewStore();
        await before.CommitAsync(new Commit { Changes = [new CommitChange.Schedule("s", Fields("late"), TimeSpan.FromSeconds(5))] });
        await before.DisposeAsync();
        _time.Move(TimeSpan.FromHours(1));

        await using var after = NewStore();

        Assert.Equal(1, (await after.GetStreamInfoAsync("s"))?.Length);
    }

    [Fact]
    public async Task First_call_opens_the_store()
    {
        await using (var before = NewStore())
            await before.AppendAsync("s", Fields("a"));
        await using var after = NewStore();

        Assert.Single(Assert.Single(await after.ReadAsync([new("s", EntryId.Zero)], 10, TimeSpan.Zero)).Entries);
    }

    [Fact]
    public async Task Second_store_on_the_directory_is_locked_out_until_the_first_is_closed()
    {
        var first = NewStore();
        await first.OpenAsync();
        await using var second = NewStore();

        Assert.Equal(StreamErrorCode.Locked, (await Assert.ThrowsAsync<StreamException>(() => second.OpenAsync().AsTask())).Code);
        Assert.Equal(
            StreamErrorCode.Locked, (await Assert.ThrowsAsync<StreamException>(() => second.AppendAsync("s", Fields("a")).AsTask())).Code);
        await first.DisposeAsync();

        await second.AppendAsync("s", Fields("a"));
    }

    [Fact]
    public async Task Disk_that_fails_makes_the_store_read_only_and_acknowledges_nothing()
    {
        var store = NewStore();
        await store.AppendAsync("s", Fields("kept"));
        Assert.Equal(1, (await store.GetStreamInfoAsync("s"))?.Length);
        JournalFailureTests.ReplaceDescriptor(_directory.SegmentPath, "/dev/full");
        await AssertFailsAsync(StreamErrorCode.OutcomeUnknown, store.CreateGroupAsync("other", "g", GroupStart.Beginning).AsTask());

        await AssertFailsAsync(StreamErrorCode.ReadOnly, store.AppendAsync("s", Fields("lost")).AsTask());
        await AssertFailsAsync(
            StreamErrorCode.ReadOnly, store.CommitAsync([new Commit { Changes = [new CommitChange.Append("s", Fields("lost"))] }]).AsTask());
        await AssertFailsAsync(StreamErrorCode.ReadOnly, store.RangeAsync("s", new()).AsTask());
        await store.DisposeAsync();

        await using var after = NewStore();
        Assert.Equal(["kept"], (await after.RangeAsync("s", new())).Select(entry => entry.Fields.GetText("v"u8)));

        static async Task AssertFailsAsync(StreamErrorCode expected, Task call) =>
            Assert.Equal(expected, (await Assert.ThrowsAsync<StreamException>(() => call)).Code);
    }

    [Fact]
    public async Task Entries_delivered_to_a_blocked_reader_are_journaled_before_it_sees_them()
    {
        var store = NewStore();
        await store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var reading = ReadAsync(store, "c", count: 1);
        var id = await store.AppendAsync("s", Fields("a"));
        Assert.Single(await reading);
        await store.DisposeAsync();

        await using var after = NewStore();

        Assert.Equal(id, Assert.Single(await after.PendingAsync("s", "g", new())).Id);
    }

    private static EntryFields Fields(string value) => EntryFields.Create(("v", value));

    /// <summary>The pool has about a thread for each processor: who waits for the device on one of them takes it from the handlers.</summary>
    [Fact]
    public async Task Sync_of_the_timer_keeps_no_thread_of_the_pool()
    {
        var syncs = new ConcurrentQueue<(string Call, bool IsOfPool)>();
        var device = new FaultDevice(_directory.Path)
        {
            Fault = (call, _) =>
            {
                if (call.StartsWith("Sync", StringComparison.Ordinal))
                    syncs.Enqueue((call, Thread.CurrentThread.IsThreadPoolThread));
                return null;
            },
        };
        await using var store = new EmbeddedStreamStore(new() { Directory = _directory.Path }, _time, null, () => device);
        await store.AppendAsync("s", Fields("1"));
        syncs.Clear(); // Those of the start.

        _time.Move(TimeSpan.FromSeconds(1));
        await Eventually.TrueAsync("the timer's sync came", () => new(!syncs.IsEmpty));
        Assert.Equal([("SyncData", false)], syncs);
    }

    private static async Task<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadAsync(
        EmbeddedStreamStore store, string consumer, int count) =>
        await store.ReadGroupAsync(
            new() { Group = "g", Consumer = consumer, Streams = ["s"], Count = count, Block = TimeSpan.FromMinutes(1) });

    private EmbeddedStreamStore NewStore(SyncPolicy sync = SyncPolicy.EverySecond) =>
        new(new() { Directory = _directory.Path, Sync = sync }, _time);
}
