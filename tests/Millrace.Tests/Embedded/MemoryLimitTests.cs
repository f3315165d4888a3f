using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;
using Millrace.Tests.Server;

namespace Millrace.Tests.Embedded;

/// <summary>The embedded store whose keys take more than they may: who is refused, who waits, and what lets them go on.</summary>
public sealed class MemoryLimitTests(ITestOutputHelper output) : IDisposable
{
    private const long Limit = 100_000;

    /// <summary>What one append may add: a new block, or one that grew to the double.</summary>
    private const long LargestBlock = 64 * 1024;

    private static readonly EntryFields Fields = EntryFields.Create(("v", new('x', 1_000)));

    private readonly JournalDirectory _directory = new();
    private readonly ManualTime _time = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(1, 0)]
    [InlineData(1, -1)]
    [InlineData(1, 46 * 86_400)]
    public void Limit_out_of_its_bounds_is_refused(long maxMemoryBytes, int maxWaitSeconds) =>
        Assert.Throws<ArgumentOutOfRangeException>(
            () => new EmbeddedStreamStore(new() { MaxMemoryBytes = maxMemoryBytes, MaxWaitWhenFull = TimeSpan.FromSeconds(maxWaitSeconds) }));

    [Fact]
    public async Task Store_fills_up_to_its_limit_refuses_more_and_takes_more_after_a_trim()
    {
        await using var store = NewStore(WhenFull.Reject);
        var ids = await FillAsync(store);
        Assert.InRange(ids.Count, 50, 100);
        output.WriteLine($"{ids.Count} entries fit; {store.UsedMemory()} bytes of {Limit} are used.");

        var refused = await Assert.ThrowsAsync<StreamException>(() => AppendAsync(store));
        Assert.Equal((StreamErrorCode.OutOfMemory, true), (refused.Code, refused.IsTransient));
        Assert.Contains($"{Limit}", refused.Message, StringComparison.Ordinal);
        Assert.InRange(store.UsedMemory(), Limit + 1, Limit + LargestBlock);

        Assert.True(await store.TrimAsync("s", StreamTrim.ToLength(10)) > 0);
        await AppendAsync(store);
        Assert.Equal(11, (await store.GetStreamInfoAsync("s"))?.Length);
    }

    [Fact]
    public async Task Limit_holds_after_a_restart_and_consumers_can_empty_the_store()
    {
        await using (var store = NewStore(WhenFull.Reject))
        {
            await store.CreateGroupAsync("s", "g", GroupStart.Beginning);
            await FillAsync(store);
        }

        await using var again = NewStore(WhenFull.Reject);
        Assert.Equal(StreamErrorCode.OutOfMemory, (await Assert.ThrowsAsync<StreamException>(() => AppendAsync(again))).Code);
        Assert.False(await again.CreateGroupAsync("s", "g", GroupStart.Beginning));
        while (Assert.Single(await ReadAsync(again)).Entries is { Count: > 0 } entries)
        {
            await again.AckAndDeleteAsync("s", "g", [.. entries.Select(entry => entry.Id)]);
            if ((await again.GetStreamInfoAsync("s"))!.Length == 0)
                break;
        }

        await AppendAsync(again);
    }

    [Fact]
    public async Task Publishers_wait_for_room_and_go_on_in_the_order_they_came()
    {
        await using var store = NewStore(WhenFull.Wait);
        await FillAsync(store);
        var many = store.AppendManyAsync("other", [Fields, Fields]).AsTask();
        var waiting = Enumerable.Range(0, 5).Select(i => store.AppendAsync("w", EntryFields.Create(("v", $"{i}"))).AsTask()).ToArray();
        var commit = store.CommitAsync(new Commit { Changes = [new CommitChange.Append("w", EntryFields.Create(("v", "commit")))] }).AsTask();
        var group = store.CreateGroupAsync("new", "g", GroupStart.Now).AsTask();
        Assert.Equal(8, store.WaitingWriteCount);
        Assert.False(many.IsCompleted);

        await store.TrimAsync("s", StreamTrim.ToLength(10));

        Assert.Equal(2, (await many).Count);
        Assert.Equal((await Task.WhenAll(waiting)).Order(), waiting.Select(task => task.Result));
        Assert.True((await commit).IsApplied);
        Assert.True(await group);
        Assert.Equal(["0", "1", "2", "3", "4", "commit"], (await store.RangeAsync("w", new())).Select(entry => entry.Fields.GetText("v"u8)));
        Assert.Equal(0, store.WaitingWriteCount);
    }

    [Fact]
    public async Task Room_for_one_lets_one_publisher_go_on()
    {
        await using var store = NewStore(WhenFull.Wait);
        var ids = await FillAsync(store);
        var waiting = Enumerable.Range(0, 3).Select(_ => AppendAsync(store)).ToArray();

        // A block is freed as a whole, and holds few entries of this size.
        for (var i = 0; store.WaitingWriteCount == 3; i++)
            await store.DeleteAsync("s", [ids[i]]);

        var left = store.WaitingWriteCount;
        Assert.InRange(left, 0, 2);
        await Task.WhenAll(waiting.SkipLast(left));
        Assert.DoesNotContain(waiting.TakeLast(left), task => task.IsCompleted);
        Assert.Equal(left, store.WaitingWriteCount);
        await store.DeleteStreamAsync("s");
        await Task.WhenAll(waiting);
    }

    [Fact]
    public async Task What_consumers_write_takes_a_sixteenth_more_at_most_and_their_documents_pass_even_then()
    {
        const long limit = 4_000_000;
        await using var store = NewStore(WhenFull.Reject);
        store.LimitMemory(limit);
        var filler = EntryFields.Create(("v", new('x', 40_000)));
        while (store.UsedMemory() <= limit)
            await store.AppendAsync("filler", filler);
        await Assert.ThrowsAsync<StreamException>(() => AppendAsync(store));
        Commit Settle(bool isUpkeep) => new()
        {
            Changes = [new CommitChange.Append("dead", Fields), .. isUpkeep ? (CommitChange[])[] : [new CommitChange.Ack("s", "g", new(1, 1))]],
            IsUpkeep = isUpkeep,
        };

        var passed = 0;
        while ((await store.CommitAsync([Settle(isUpkeep: passed % 2 == 0)]))[0].IsApplied)
            passed++;

        output.WriteLine($"{passed} commits passed; {store.UsedMemory()} bytes of {limit} are used.");
        Assert.InRange(store.UsedMemory(), limit * 17 / 16 + 1, limit * 17 / 16 + LargestBlock);
        Assert.InRange(passed, 50, 1_000);
        var results = await store.CommitAsync(
        [
            Settle(isUpkeep: true),
            Settle(isUpkeep: false),
            new() { Changes = [new CommitChange.PutState(new("s", "lease"), new byte[100])], IsUpkeep = true },
            new() { Changes = [new CommitChange.PutState(new("s", "other"), new byte[100])] },
        ]);
        StreamErrorCode? oom = StreamErrorCode.OutOfMemory;
        Assert.Equal([oom, oom, null, oom], results.Select(result => result.Failure?.Code));
    }

    [Fact]
    public async Task Ack_of_an_entry_passes_while_publishers_wait()
    {
        await using var store = NewStore(WhenFull.Wait);
        await store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var ids = await FillAsync(store);
        Assert.Equal(ids, Assert.Single(await ReadAsync(store)).Entries.Select(entry => entry.Id));
        var waiting = AppendAsync(store);
        store.LimitMemory(1);
        var held = new HeldEntry(ids[1], 1);

        Assert.Equal(1, await store.AckAsync("s", "g", [ids[0]]));
        var results = await store.CommitAsync(
        [
            new() { Changes = [new CommitChange.Append("out", Fields), new CommitChange.Ack("s", "g", ids[1])] },
            new() { Changes = [new CommitChange.Ack("s", "g", ids[2])] },
            new() { Conditions = [CommitCondition.StillHeld("s", "g", "c", held)], Changes = [new CommitChange.Release("s", "g", held)] },
        ]);

        Assert.Equal([StreamErrorCode.OutOfMemory, null, StreamErrorCode.OutOfMemory], results.Select(result => result.Failure?.Code));
        Assert.False(waiting.IsCompleted);
        Assert.Equal(ids.Count - 2, (await store.PendingSummaryAsync("s", "g")).Count);
    }

    [Fact]
    public async Task Time_makes_room_as_well()
    {
        await using var store = NewStore(WhenFull.Wait);
        var key = new StateKey("s", "doc");
        await store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(key, new byte[Limit], TimeSpan.FromSeconds(5))] });
        var waiting = AppendAsync(store);

        _time.Move(TimeSpan.FromSeconds(5));

        await waiting;
    }

    [Fact]
    public async Task Publisher_that_waited_too_long_is_refused()
    {
        await using var store = NewStore(WhenFull.Wait);
        var ids = await FillAsync(store);
        var waiting = AppendAsync(store);

        _time.Move(TimeSpan.FromSeconds(29.999));
        Assert.False(waiting.IsCompleted);
        _time.Move(TimeSpan.FromMilliseconds(1));

        Assert.Equal(StreamErrorCode.OutOfMemory, (await Assert.ThrowsAsync<StreamException>(() => waiting)).Code);
        Assert.Equal(0, store.WaitingWriteCount);
        await store.TrimAsync("s", StreamTrim.ToLength(0));
        Assert.Equal(ids.Count, (int)(await store.GetStreamInfoAsync("s"))!.EntriesAdded);
    }

    [Fact]
    public async Task Cancelled_publisher_has_written_nothing_and_holds_nobody_up()
    {
        await using var store = NewStore(WhenFull.Wait);
        var ids = await FillAsync(store);
        using var cancellation = new CancellationTokenSource();
        var cancelled = store.AppendAsync("s", Fields, cancellationToken: cancellation.Token).AsTask();
        var next = AppendAsync(store);

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await store.TrimAsync("s", StreamTrim.ToLength(1));

        await next;
        Assert.Equal(ids.Count + 1, (int)(await store.GetStreamInfoAsync("s"))!.EntriesAdded);
    }

    [Fact]
    public async Task Close_fails_publishers_that_wait()
    {
        var store = NewStore(WhenFull.Wait);
        await FillAsync(store);
        var waiting = AppendAsync(store);

        await store.DisposeAsync();

        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => waiting)).Code);
        Assert.Equal(0, _time.SetTimers);
    }

    [Fact]
    public async Task More_publishers_than_may_wait_are_refused()
    {
        await using var store = NewStore(WhenFull.Wait);
        await FillAsync(store);
        var waiting = Enumerable.Range(0, EmbeddedStreamStore.MaxWaitingWrites).Select(_ => AppendAsync(store)).ToArray();

        Assert.Equal(StreamErrorCode.OutOfMemory, (await Assert.ThrowsAsync<StreamException>(() => AppendAsync(store))).Code);

        store.LimitMemory(0);
        await Task.WhenAll(waiting);
    }

    [Fact]
    public async Task Publisher_that_waited_finds_out_what_else_stands_against_it()
    {
        await using var store = NewStore(WhenFull.Wait);
        await FillAsync(store);
        await store.TrimAsync("s", StreamTrim.ToLength(1));
        await store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(new("t", "d"), new byte[2 * Limit])] });
        var waiting = store.AppendAsync(StreamNames.State(new("t", "d")), Fields).AsTask();
        var next = AppendAsync(store);

        store.LimitMemory(0);

        Assert.Equal(StreamErrorCode.WrongType, (await Assert.ThrowsAsync<StreamException>(() => waiting)).Code);
        await next;
    }

    /// <summary>Publishers and a trimmer at random: nobody is forgotten, and everything published is there once.</summary>
    [Fact]
    public async Task Many_publishers_get_through_a_small_store()
    {
        const int Publishers = 16, Each = 100;
        await using var store = new EmbeddedStreamStore(
            new() { Directory = _directory.Path, MaxMemoryBytes = Limit, WhenFull = WhenFull.Wait, MaxWaitWhenFull = Eventually.Deadline });
        await store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var (seen, waits, largest) = (new List<string>(), 0, 0L);
        var publishing = Task.WhenAll(Enumerable.Range(0, Publishers).Select(publisher => Task.Run(async () =>
        {
            for (var i = 0; i < Each; i++)
            {
                var append = store.AppendAsync("s", EntryFields.Create(("v", $"{publisher}/{i}"), ("x", new('x', 1_000))));
                Interlocked.Add(ref waits, append.IsCompleted ? 0 : 1);
                await append;
            }
        })));

        while (seen.Count < Publishers * Each)
        {
            foreach (var batch in await store.ReadGroupAsync(
                new() { Group = "g", Consumer = "c", Streams = ["s"], Count = 20, Block = Eventually.Deadline }))
            {
                seen.AddRange(batch.Entries.Select(entry => entry.Fields.GetText("v"u8)!));
                largest = Math.Max(largest, store.UsedMemory());
                await store.AckAndDeleteAsync("s", "g", [.. batch.Entries.Select(entry => entry.Id)]);
            }
        }

        await publishing;
        output.WriteLine($"{waits} of {Publishers * Each} appends did not complete at once; the keys took {largest} bytes at most.");
        Assert.Equal(Publishers * Each, seen.Distinct().Count());
        Assert.InRange(largest, 1, Limit + LargestBlock);
        Assert.True(waits > 0);
    }

    private EmbeddedStreamStore NewStore(WhenFull whenFull) =>
        new(new() { Directory = _directory.Path, MaxMemoryBytes = Limit, WhenFull = whenFull }, _time);

    private static async Task<List<EntryId>> FillAsync(EmbeddedStreamStore store)
    {
        List<EntryId> ids = [];
        while (store.UsedMemory() <= Limit)
            ids.Add(await store.AppendAsync("s", Fields));
        return ids;
    }

    private static async Task<EntryId> AppendAsync(EmbeddedStreamStore store) => await store.AppendAsync("s", Fields);

    private static async Task<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadAsync(EmbeddedStreamStore store) =>
        await store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"], Count = 1_000 });
}
