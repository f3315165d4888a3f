using System.Globalization;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Schedules;

/// <summary>Scheduled entries are moved by any process that is alive and interested, on time and once.</summary>
public sealed class SchedulePromoterTests(SharedRedis redis)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _stream = Guid.NewGuid().ToString("N")[..12];

    [Fact]
    public async Task Entry_scheduled_by_another_process_is_moved_when_its_message_comes()
    {
        // Without its regular check the reader's process learns of the entry from the channel or not at all.
        await using var reader = await OpenAsync(new TimersUpTo(seconds: 3));
        var reading = reader.ReadAsync([new(_stream, default)], 10, Patience).AsTask();
        await using (var scheduler = await OpenAsync())
            await ScheduleAsync(scheduler, "due", TimeSpan.FromMilliseconds(300));

        var batch = Assert.Single(await reading);

        Assert.Equal("due", Assert.Single(batch.Entries).Fields.GetText("v"u8));
    }

    [Fact]
    public async Task Sooner_entry_of_another_process_goes_before_a_later_one()
    {
        await using var reader = await OpenAsync(new TimersUpTo(seconds: 3));
        await ScheduleAsync(reader, "later", TimeSpan.FromHours(1));
        var reading = reader.ReadAsync([new(_stream, default)], 10, Patience).AsTask();
        await using (var scheduler = await OpenAsync())
            await ScheduleAsync(scheduler, "sooner", TimeSpan.FromMilliseconds(300));

        Assert.Equal("sooner", Assert.Single(Assert.Single(await reading).Entries).Fields.GetText("v"u8));
        Assert.Equal(1, (await reader.ExecuteAsync(["ZCARD", StreamNames.Schedule(_stream)])).Integer);
    }

    [Fact]
    public async Task Entries_that_are_due_when_a_process_starts_reading_are_moved()
    {
        await using (var scheduler = await OpenAsync(new TimersUpTo(seconds: -1)))
            await ScheduleAsync(scheduler, "overdue", TimeSpan.FromMilliseconds(1));
        await using var reader = await OpenAsync(new TimersUpTo(seconds: 3));

        Assert.Single(await reader.ReadAsync([new(_stream, default)], 10, Patience));
    }

    [Fact]
    public async Task Entries_moved_by_several_processes_at_once_arrive_once_each()
    {
        const int count = 1_000;
        var stores = new List<RedisStreamStore>();
        for (var i = 0; i < 4; i++)
            stores.Add(await OpenAsync());

        await Task.WhenAll(stores.Select(async (store, i) => await store.CommitAsync(
        [
            .. Enumerable.Range(0, count / 4).Select(n => new Commit
            {
                Changes = [new CommitChange.Schedule(_stream, EntryFields.Create(("v", $"{i}:{n}")), TimeSpan.FromMilliseconds(n % 50))],
            }),
        ])));

        var values = new List<string?>();
        for (var position = EntryId.Zero; values.Count < count;)
        {
            var batch = Assert.Single(await stores[0].ReadAsync([new(_stream, position)], count, Patience));
            values.AddRange(batch.Entries.Select(entry => entry.Fields.GetText("v"u8)));
            position = batch.Entries[^1].Id;
        }

        Assert.Equal(count, values.Distinct().Count());
        Assert.Equal(0, (await stores[0].ExecuteAsync(["ZCARD", StreamNames.Schedule(_stream)])).Integer);
        foreach (var store in stores)
            await store.DisposeAsync();
    }

    [Fact]
    public async Task Large_entries_that_are_due_together_are_moved_in_order_about_a_mebibyte_at_a_time()
    {
        const int count = 40;
        var padding = new string('x', 256 * 1024);
        await using var server = await RedisServer.StartAsync();
        await using (var scheduler = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port }, new TimersUpTo(seconds: -1)))
        {
            var results = await scheduler.CommitAsync(
            [
                .. Enumerable.Range(0, count).Select(i => new Commit
                {
                    Changes = [new CommitChange.Schedule(_stream, EntryFields.Create(("i", $"{i}"), ("v", padding)), TimeSpan.FromMilliseconds(1))],
                }),
            ]);
            Assert.All(results, static result => Assert.True(result.IsApplied));
        }

        await server.CliAsync("CONFIG", "RESETSTAT");
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port }, new TimersUpTo(seconds: 3));
        await store.ReadAsync([new(_stream, default)], 1, Patience);
        await Eventually.TrueAsync("all are moved", async () => await server.CliAsync("XLEN", _stream) == $"{count}");

        var moved = await store.RangeAsync(_stream, new() { Count = count });
        Assert.Equal(Enumerable.Range(0, count).Select(static i => $"{i}"), moved.Select(static entry => entry.Fields.GetText("i"u8)));
        var stats = await server.CliAsync("INFO", "commandstats");
        var calls = stats.Split("cmdstat_evalsha:calls=")[1].Split(',')[0];
        Assert.InRange(int.Parse(calls, CultureInfo.InvariantCulture), count / 4, 2 * count);
    }

    [Fact]
    public async Task Entry_for_a_key_of_another_type_stays_scheduled()
    {
        await using var store = await OpenAsync(new TimersUpTo(seconds: -1));
        await ScheduleAsync(store, "kept", TimeSpan.FromMilliseconds(1));
        await store.ExecuteAsync(["SET", _stream, "text"]);
        await using var reader = await OpenAsync();
        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await reader.ReadAsync([new(_stream, default)], 1, Patience));

        Assert.Equal(StreamErrorCode.WrongType, refusal.Code);
        await store.ExecuteAsync(["DEL", _stream]);
        await store.ExecuteAsync(["PUBLISH", "millrace:scheduled", _stream]);
        var batch = Assert.Single(await reader.ReadAsync([new(_stream, default)], 1, Patience));
        Assert.Equal("kept", Assert.Single(batch.Entries).Fields.GetText("v"u8));
    }

    [Fact]
    public async Task Reading_a_stream_that_can_have_no_schedule_does_not_stop_the_others()
    {
        await using var store = await OpenAsync();
        foreach (var braces in (string[])["{", "{}", "}"])
            await store.ReadAsync([new(_stream + braces, default)], 1, TimeSpan.Zero);

        await ScheduleAsync(store, "due", TimeSpan.FromMilliseconds(10));

        Assert.Single(await store.ReadAsync([new(_stream, default)], 1, Patience));
    }

    [Fact]
    public async Task Entry_due_in_months_can_be_the_first_thing_a_process_schedules()
    {
        await using var store = await OpenAsync();

        await ScheduleAsync(store, "later", TimeSpan.FromDays(90));
        await ScheduleAsync(store, "sooner", TimeSpan.FromMilliseconds(10));

        await Eventually.TrueAsync("the sooner entry is moved", async () => (await store.ExecuteAsync(["XLEN", _stream])).Integer == 1);
    }

    [Fact]
    public async Task Server_that_was_away_when_the_first_stream_was_read_is_subscribed_to_when_it_is_back()
    {
        await using var server = await RedisServer.StartAsync();
        await server.KillAsync();
        RedisOptions options = new() { Host = "127.0.0.1", Port = server.Port, ConnectAttempts = 1 };
        await using var reader = new RedisStreamStore(options, new TimersUpTo(seconds: 3));
        await Assert.ThrowsAsync<StreamException>(async () => await reader.ReadAsync([new(_stream, default)], 1, Patience));
        await server.StartAgainAsync();

        await Eventually.TrueAsync("the reader's process has subscribed", async () =>
            (await server.CliAsync("PUBSUB", "NUMSUB", "millrace:scheduled")).EndsWith('1'));
    }

    [Fact]
    public async Task Entry_of_a_commit_whose_caller_gave_up_is_moved_though_nobody_reads()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port });
        await store.OpenAsync();
        var change = new CommitChange.Schedule(_stream, EntryFields.Create(("v", "x")), TimeSpan.FromMilliseconds(10));
        using var cancellation = new CancellationTokenSource();

        // The server takes the commit, and applies it only after the cancellation.
        await server.CliAsync("CLIENT", "PAUSE", "30000", "WRITE");
        var committing = store.CommitAsync(new Commit { Changes = [change] }, cancellation.Token).AsTask();
        await Eventually.TrueAsync("the commit waits", async () =>
            (await server.CliAsync("CLIENT", "LIST")).Contains(" cmd=evalsha ", StringComparison.Ordinal));
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => committing);
        await server.CliAsync("CLIENT", "UNPAUSE");

        await Eventually.TrueAsync("the entry is moved", async () => await server.CliAsync("XLEN", _stream) == "1");
    }

    private async Task ScheduleAsync(RedisStreamStore store, string value, TimeSpan delay) => Assert.True((await store.CommitAsync(
        new Commit { Changes = [new CommitChange.Schedule(_stream, EntryFields.Create(("v", value)), delay)] })).IsApplied);

    private async Task<RedisStreamStore> OpenAsync(TimeProvider? time = null) =>
        new(new() { Host = "127.0.0.1", Port = (await redis.StartedAsync()).Port }, time);

    /// <summary>
    /// Timers set for longer never fire. With three seconds: neither the regular check nor a time-out. With none: a process that
    /// schedules and then does nothing more.
    /// </summary>
    private sealed class TimersUpTo(double seconds) : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            new LimitedTimer(System.CreateTimer(callback, state, Limit(dueTime), period), this);

        private TimeSpan Limit(TimeSpan dueTime) => dueTime > TimeSpan.FromSeconds(seconds) ? Timeout.InfiniteTimeSpan : dueTime;

        private sealed class LimitedTimer(ITimer timer, TimersUpTo owner) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => timer.Change(owner.Limit(dueTime), period);

            public void Dispose() => timer.Dispose();

            public ValueTask DisposeAsync() => timer.DisposeAsync();
        }
    }
}
