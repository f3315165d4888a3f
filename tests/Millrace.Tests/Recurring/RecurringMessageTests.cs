using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Embedded;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Recurring;

public sealed class RecurringMessageTests(SharedRedis redis) : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromMinutes(10);

    private readonly ManualTimeProvider _time = new();
    private EmbeddedStreamStore? _store;

    private EmbeddedStreamStore Store => _store ??= new(new(), _time);

    [Message("report.due")]
    private sealed record ReportDue(DateTimeOffset At);

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
            await _store.DisposeAsync();
    }

    [Fact]
    public async Task Message_is_published_at_each_moment_with_the_moment_and_an_id_of_its_own()
    {
        await using var host = await StartAsync();
        for (var i = 1; i <= 3; i++)
        {
            await NextAsync(host);
            Assert.Equal(i, (await host.ReadAsync("reports", i)).Count);
        }

        var entries = await host.ReadAsync("reports", 3);
        Assert.Equal(["12:10", "12:20", "12:30"], entries.Select(Due));
        Assert.Equal("daily@2026-01-01T12:10:00.0000000Z", entries[0].Fields.GetText("id"u8));
        Assert.Equal(
            ["2026-01-01T12:10:00", "2026-01-01T12:20:00", "2026-01-01T12:30:00"],
            entries.Select(entry => DateTimeOffset.FromUnixTimeMilliseconds((long)entry.Id.Milliseconds)
                .ToString("yyyy-MM-ddTHH:mm:ss", CultureInfo.InvariantCulture)));
    }

    [Fact]
    public async Task Several_processes_make_each_firing_once()
    {
        await using var first = await StartAsync("one");
        await using var second = await StartAsync("two");
        await using var third = await StartAsync("three");
        for (var i = 1; i <= 5; i++)
        {
            await NextAsync(first);
            await first.ReadAsync("reports", i);
        }

        await first.WhenSettledAsync(Ticks, "millrace");
        Assert.Equal(["12:10", "12:20", "12:30", "12:40", "12:50"], (await Store.RangeAsync("reports", new())).Select(Due));
    }

    [Fact]
    public async Task Ticks_that_fired_are_gone()
    {
        await using var host = await StartAsync();
        for (var i = 1; i <= 100; i++)
        {
            await NextAsync(host);
            await host.ReadAsync("reports", i);
        }

        await host.WhenSettledAsync(Ticks, "millrace");
        Assert.InRange((await Store.GetStreamInfoAsync(Ticks))!.Length, 0, 1);
    }

    [Fact]
    public async Task Ticks_that_fired_are_gone_on_redis()
    {
        await using var store = new RedisStreamStore(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));
        var stream = $"reports-{Guid.NewGuid():N}";
        await using var host = await StartAsync(recurrence: Often, store: store, time: TimeProvider.System, stream: stream);

        await host.ReadAsync(stream, 5);

        Assert.InRange((await store.GetStreamInfoAsync(StreamNames.Derive(stream, "recurring:daily")))!.Length, 0, 1);
    }

    /// <summary>How they are made up for is for the process to say that starts afterwards.</summary>
    [Theory]
    [InlineData(MissedFirings.All, MissedFirings.All, new[] { "12:10", "12:20", "12:30", "12:40", "12:50" })]
    [InlineData(MissedFirings.Latest, MissedFirings.Latest, new[] { "12:10", "12:40", "12:50" })]
    [InlineData(MissedFirings.Latest, MissedFirings.All, new[] { "12:10", "12:20", "12:30", "12:40", "12:50" })]
    [InlineData(MissedFirings.All, MissedFirings.Latest, new[] { "12:10", "12:40", "12:50" })]
    public async Task Firings_missed_while_no_process_ran_are_made_up_for(MissedFirings before, MissedFirings missed, string[] expected)
    {
        await using (var killed = await StartAsync(missed: before))
        {
            await NextAsync(killed);
            await killed.ReadAsync("reports");
            await killed.AbortAsync();
        }

        _time.Advance(3.5 * Period);
        await using var host = await StartAsync(missed: missed);
        await host.ReadAsync("reports", expected.Length - 1);
        await host.WhenSettledAsync(Ticks, "millrace");
        await NextAsync(host);

        Assert.Equal(expected, (await host.ReadAsync("reports", expected.Length)).Select(Due));
    }

    [Fact]
    public async Task Process_that_starts_with_another_recurrence_begins_anew_and_ticks_of_the_old_one_do_nothing()
    {
        await using (var old = await StartAsync())
            await WhenBegunAsync(1);
        await using var host = await StartAsync(recurrence: Recurrence.Cron("5 * * * *"));
        await WhenBegunAsync(2);

        _time.Advance(TimeSpan.FromMinutes(5));
        await host.ReadAsync("reports");
        _time.Advance(TimeSpan.FromMinutes(5));
        await host.WhenSettledAsync(Ticks, "millrace");
        await NextAsync(host);

        Assert.Equal(["12:05", "13:05"], (await host.ReadAsync("reports", 2)).Select(Due));
    }

    [Fact]
    public async Task Recurrence_of_a_process_that_died_before_its_first_tick_counts_from_its_start()
    {
        await BeginAndDieAsync();
        _time.Advance(2.5 * Period);
        await using var host = await StartAsync();

        Assert.Equal(["12:10", "12:20"], (await host.ReadAsync("reports", 2)).Select(Due));
    }

    [Fact]
    public async Task Recurrence_that_replaces_one_that_saw_no_tick_counts_from_its_own_start()
    {
        await BeginAndDieAsync();
        _time.Advance(2.5 * Period);
        await using var host = await StartAsync(recurrence: Recurrence.Cron("*/5 * * * *"));
        await WhenWaitingAsync(2);
        _time.Advance(Period / 2);

        Assert.Equal("12:30", Due((await host.ReadAsync("reports", 1))[0]));
    }

    /// <summary>A firing of any process moves the document on; what the new version says must not be lost over it.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(10)]
    [InlineData(15)]
    public async Task New_recurrence_counts_even_if_the_chain_moves_while_it_is_written(int moves)
    {
        await using (await StartAsync())
            await WhenBegunAsync(1);
        var key = new StateKey("reports", "recurring/daily");
        var left = moves;
        var store = FaultyStore.Wrap(Store, (member, arguments) =>
        {
            if (member == nameof(IStreamStore.CommitAsync)
                && ((IReadOnlyList<Commit>)arguments[0]!).Any(commit => commit.Changes.Any(change => change is CommitChange.PutState put && put.Key == key))
                && Interlocked.Decrement(ref left) >= 0)
                MoveAsync().GetAwaiter().GetResult();
            return FaultyStore.Fault.None;
        });
        await using var host = await StartAsync(recurrence: Recurrence.Cron("5 * * * *"), store: store);

        await Eventually.TrueAsync("the store knows the new recurrence", async () =>
        {
            _time.Advance(TimeSpan.FromSeconds(1)); // Who lost to too many moves looks again after a second.
            return Encoding.UTF8.GetString((await Store.GetStateAsync(key))!.Payload.Span).Contains("5 * * * *", StringComparison.Ordinal);
        });

        Assert.True(Volatile.Read(ref left) <= 0);

        async Task MoveAsync() =>
            await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(key, (await Store.GetStateAsync(key))!.Payload)] });
    }

    [Fact]
    public async Task Chain_whose_tick_was_lost_goes_on_where_it_was()
    {
        await using var host = await StartAsync();
        await WhenBegunAsync(1);
        await NextAsync(host);
        await host.ReadAsync("reports");
        var schedule = StreamNames.Schedule(Ticks);
        await Eventually.TrueAsync("the next tick waits", async () => (await Store.GetScheduleAsync(Ticks)).Count == 1);
        DeleteKey(schedule);

        while ((await Store.GetStreamInfoAsync("reports"))!.Length < 2)
        {
            await _time.WaitForTimerAsync(TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(1));
            _time.Advance(TimeSpan.FromSeconds(20));
        }

        Assert.Equal(["12:10", "12:20"], (await host.ReadAsync("reports", 2)).Select(Due));
    }

    /// <summary>In a rolling deployment the version that was there before may be the one that finds the chain broken.</summary>
    [Fact]
    public async Task Chain_that_broke_is_begun_again_with_the_recurrence_of_the_store()
    {
        await using var old = await StartAsync("old");
        await WhenWaitingAsync(1);
        await using (await StartAsync("new", recurrence: Recurrence.Cron("5 * * * *")))
            await WhenWaitingAsync(2);
        DeleteKey(StreamNames.Schedule(Ticks));

        while (await Store.GetStreamInfoAsync("reports") is not { Length: >= 2 })
        {
            await _time.WaitForTimerAsync(TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(1));
            _time.Advance(TimeSpan.FromSeconds(20));
        }

        Assert.Equal(["12:05", "13:05"], (await old.ReadAsync("reports", 2)).Select(Due));
    }

    /// <summary>While ticks cannot run, every process takes the chain for broken; it is begun anew once in a while, not by each of them each minute.</summary>
    [Fact]
    public async Task Chain_that_cannot_fire_is_not_begun_anew_by_every_process_each_minute()
    {
        await using var one = await StartAsync("one");
        await using var two = await StartAsync("two");
        await WhenWaitingAsync(1);
        foreach (var host in new[] { one, two })
            Assert.True(host.Host.Services.GetRequiredService<ConsumerControl>().Pause(Ticks, "millrace"));

        for (var minutes = 0; minutes < 20; minutes++)
        {
            await _time.WaitForTimerAsync(TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(1));
            _time.Advance(TimeSpan.FromMinutes(1));
        }

        Assert.InRange((await StateAsync(Store))!.Value.GetProperty("epoch").GetInt64(), 1, 6);
    }

    [Fact]
    public async Task Message_that_cannot_be_made_is_made_later_and_none_is_left_out()
    {
        var failures = 3;
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddRecurring("daily", "reports", Recurrence.Every(Period), due =>
                Interlocked.Decrement(ref failures) >= 0 ? throw new InvalidOperationException("no") : new ReportDue(due)),
            Store,
            _time);
        await NextAsync(host);
        while (await Store.GetStreamInfoAsync("reports") is null)
        {
            await Eventually.TrueAsync("the attempt ended", async () => await Store.GetStreamInfoAsync("reports") is not null ||
                (await Store.GetScheduleAsync(StreamNames.Again(Ticks, "millrace"))).Count == 1);
            _time.Advance(TimeSpan.FromSeconds(2));
        }

        Assert.Equal(["12:10"], (await host.ReadAsync("reports")).Select(Due));
    }

    /// <summary>A jump of the wall clock shifts when it fires; it neither leaves a firing out nor makes one twice.</summary>
    [Fact]
    public async Task Clock_that_jumps_shifts_firings_and_neither_loses_nor_doubles_one()
    {
        var time = new ManualTime();
        await using var store = new EmbeddedStreamStore(new(), time);
        await using var host = await StartAsync(store: store, time: time);
        var count = 0;
        foreach (var jump in (int[])[0, 25, -40, 0, 90, -10, 0])
        {
            time.Jump(TimeSpan.FromMinutes(jump));
            for (var minute = 0; minute < 60; minute++)
            {
                await host.WhenSettledAsync(Ticks, "millrace");
                time.Move(TimeSpan.FromMinutes(1));
            }

            await host.WhenSettledAsync(Ticks, "millrace");
            count = (await store.RangeAsync("reports", new())).Count;
        }

        var moments = (await store.RangeAsync("reports", new() { Count = 1_000 })).Select(At).ToList();
        Assert.True(count > 20);
        Assert.Equal(moments.Count, moments.Distinct().Count());
        Assert.All(moments.Zip(moments.Skip(1)), pair => Assert.Equal(Period, pair.Second - pair.First));
    }

    /// <summary>Of the firings that are due only the latest is made; which are due is not for the clock of one process to say.</summary>
    [Fact]
    public async Task Clock_of_a_process_that_is_a_day_ahead_leaves_out_no_firing_of_the_latest()
    {
        var (time, ofStore) = (new ManualTime(), new ManualTime());
        await using var store = new EmbeddedStreamStore(new(), ofStore);
        await using var host = await StartAsync(missed: MissedFirings.Latest, store: store, time: time);
        var begun = time.GetUtcNow();
        await Eventually.TrueAsync("the first tick waits", async () => (await store.GetScheduleAsync(Ticks)).Count == 1);

        time.Jump(TimeSpan.FromHours(25));
        await MoveAsync(host, time, ofStore, 12);
        time.Jump(TimeSpan.FromHours(-25));
        await MoveAsync(host, time, ofStore, 60);

        var moments = (await store.RangeAsync("reports", new() { Count = 1_000 })).Select(At).ToList();
        Assert.Equal(Enumerable.Range(1, 7).Select(i => begun + (i * Period)), moments);
    }

    /// <summary>To it the chain looks broken until it fires. Once begun anew for a moment, it is given more time each time.</summary>
    [Fact]
    public async Task Clock_of_a_process_that_is_ahead_begins_a_chain_anew_a_few_times_only()
    {
        var (time, ofStore) = (new ManualTime(), new ManualTime());
        await using var store = new EmbeddedStreamStore(new(), ofStore);
        await using var host = await StartAsync(recurrence: Recurrence.Every(TimeSpan.FromHours(2)), store: store, time: time);
        await WhenWaitingAsync(1, store);

        time.Jump(TimeSpan.FromHours(25));
        await MoveAsync(host, time, ofStore, 115);
        Assert.InRange((await StateAsync(store))!.Value.GetProperty("epoch").GetInt64(), 2, 7);
        await MoveAsync(host, time, ofStore, 10);

        Assert.Single(await store.RangeAsync("reports", new()));
    }

    /// <summary>From when on another recurrence counts is not for the clock of one process to say, nor what was made already.</summary>
    [Theory]
    [InlineData(25)]
    [InlineData(-25)]
    public async Task Recurrence_begun_by_a_process_whose_clock_is_wrong_leaves_out_no_moment_and_makes_none_twice(int hours)
    {
        var (time, ofStore) = (new ManualTime(), new ManualTime());
        await using var store = new EmbeddedStreamStore(new(), ofStore);
        var begun = time.GetUtcNow();
        await using (var old = await StartAsync(store: store, time: time))
        {
            await WhenWaitingAsync(1, store);
            await MoveAsync(old, time, ofStore, 60);
        }

        time.Jump(TimeSpan.FromHours(hours));
        await using var host = await StartAsync(recurrence: Recurrence.Every(Period / 2), store: store, time: time);
        await WhenWaitingAsync(2, store);
        await MoveAsync(host, time, ofStore, 12);
        time.Jump(TimeSpan.FromHours(-hours));
        await MoveAsync(host, time, ofStore, 60);

        var moments = (await store.RangeAsync("reports", new() { Count = 1_000 })).Select(At).ToList();
        Assert.Equal(
            [.. Enumerable.Range(1, 6).Select(i => begun + (i * Period)), .. Enumerable.Range(13, 14).Select(i => begun + (i * Period / 2))],
            moments);
    }

    [Fact]
    public async Task Several_processes_on_redis_make_each_firing_once()
    {
        var stream = $"reports-{Guid.NewGuid():N}";
        var options = RedisOptions.Parse((await redis.StartedAsync()).Endpoint);
        await using var one = new RedisStreamStore(options);
        await using var two = new RedisStreamStore(options);
        await using var first = await StartAsync("one", store: one, time: TimeProvider.System, stream: stream, recurrence: Often);
        await using var second = await StartAsync("two", store: two, time: TimeProvider.System, stream: stream, recurrence: Often);

        var moments = (await first.ReadAsync(stream, 10)).Select(At).ToList();
        await first.AbortAsync();
        moments = [.. (await second.ReadAsync(stream, moments.Count + 10)).Select(At)];

        Assert.All(moments.Zip(moments.Skip(1)), pair => Assert.Equal(TimeSpan.FromMilliseconds(100), pair.Second - pair.First));
    }

    [Fact]
    public async Task Message_without_a_name_is_refused_when_the_host_starts()
    {
        var error = await Assert.ThrowsAsync<MillraceConfigurationException>(() => ConsumerHost.StartAsync(static m => m
            .AddRecurring("daily", "reports", Often, static due => new Version(due.Year, due.Month))));

        Assert.Contains("Recurring message 'daily': System.Version has no message name", error.Message);
    }

    [Fact]
    public async Task Options_that_no_firing_could_have_are_refused()
    {
        foreach (var options in new PublishOptions[]
        {
            new() { MessageId = "m" }, new() { Delay = TimeSpan.Zero }, new() { Trim = StreamTrim.ToLength(1) },
            new() { Headers = new Dictionary<string, string> { ["not allowed"] = "" } },
        })
            await Assert.ThrowsAsync<ArgumentException>(() => ConsumerHost.StartAsync(m => m
                .AddRecurring("daily", "reports", Often, static due => new ReportDue(due), options: options)));

        var error = await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync("slow"));
        Assert.Contains("Recurring message 'daily': the stream 'reports' has no lane 'slow'", error.Message, StringComparison.Ordinal);
        await using var host = await StartAsync("express");
        await host.ReadAsync(StreamNames.Lane("reports", "express"));

        static Task<ConsumerHost> StartAsync(string lane) => ConsumerHost.StartAsync(m => m
            .AddRecurring("daily", "reports", Often, static due => new ReportDue(due), options: new() { Lane = lane })
            .AddLanes("reports", static lanes => lanes.Add("express", 8)));
    }

    [Fact]
    public async Task Two_of_one_name_are_refused()
    {
        var error = await Assert.ThrowsAsync<InvalidOperationException>(() => ConsumerHost.StartAsync(static m => m
            .AddRecurring("daily", "reports", Often, static due => new ReportDue(due))
            .AddRecurring("daily", "reports", Often, static due => new ReportDue(due))));

        Assert.Contains("daily", error.Message);
    }

    private static Recurrence Often => Recurrence.Every(TimeSpan.FromMilliseconds(100));

    private static string Ticks => StreamNames.Derive("reports", "recurring:daily");

    private static DateTimeOffset At(StreamEntry entry) => JsonDocument.Parse(entry.Fields.GetText("data"u8)!).RootElement
        .GetProperty("at").GetDateTimeOffset();

    private static string Due(StreamEntry entry) => At(entry).ToString("HH:mm", CultureInfo.InvariantCulture);

    private Task<ConsumerHost> StartAsync(
        string instance = "local",
        MissedFirings missed = MissedFirings.All,
        Recurrence? recurrence = null,
        IStreamStore? store = null,
        TimeProvider? time = null,
        string stream = "reports") => ConsumerHost.StartAsync(
            m => m.AddRecurring("daily", stream, recurrence ?? Recurrence.Every(Period), static due => new ReportDue(due), missed),
            store ?? Store,
            time ?? _time,
            instance: instance);

    /// <summary>Lets the next moment come, once the tick for it waits.</summary>
    private async Task NextAsync(ConsumerHost host)
    {
        await Eventually.TrueAsync("the next tick waits", async () => (await host.Store.GetScheduleAsync(Ticks)).Count == 1);
        _time.Advance((await host.Store.GetScheduleAsync(Ticks)).NextIn!.Value);
    }

    /// <summary>Lets time pass by both clocks, and firings happen.</summary>
    private static async Task MoveAsync(ConsumerHost host, ManualTime time, ManualTime ofStore, int minutes)
    {
        for (var minute = 0; minute < minutes; minute++)
        {
            time.Move(TimeSpan.FromMinutes(1));
            ofStore.Move(TimeSpan.FromMinutes(1));
            await Eventually.TrueAsync("none is due", async () =>
            {
                ofStore.Move(TimeSpan.Zero);
                return (await host.Store.GetScheduleAsync(Ticks)).NextIn > TimeSpan.Zero; // A process that is ahead may have begun the chain anew.
            });
            await host.WhenSettledAsync(Ticks, "millrace");
        }
    }

    private Task WhenBegunAsync(int epoch) => Eventually.TrueAsync($"chain {epoch} has begun", async () =>
        await StateAsync(Store) is { } state && state.GetProperty("epoch").GetInt64() == epoch);

    /// <summary>A process begins the chain and dies before it is given the first tick.</summary>
    private async Task BeginAndDieAsync()
    {
        var deaf = FaultyStore.Wrap(Store, static (member, arguments) =>
            member == nameof(IStreamStore.ReadGroupAsync) && ((GroupRead)arguments[0]!).Streams.Contains(Ticks)
                ? FaultyStore.Fault.Before
                : FaultyStore.Fault.None);
        await using (var killed = await StartAsync(store: deaf))
        {
            await WhenBegunAsync(1);
            await killed.AbortAsync();
        }
    }

    /// <summary>Ends when a chain has seen its first tick, and the one of its first moment waits.</summary>
    private Task WhenWaitingAsync(int epoch, IStreamStore? store = null) => Eventually.TrueAsync($"chain {epoch} waits", async () =>
        await StateAsync(store ?? Store) is { } state && state.GetProperty("epoch").GetInt64() == epoch && !state.TryGetProperty("begun", out _));

    private static async Task<JsonElement?> StateAsync(IStreamStore store) =>
        await store.GetStateAsync(new("reports", "recurring/daily")) is { } state ? JsonDocument.Parse(state.Payload).RootElement : null;

    private void DeleteKey(string key)
    {
        var nowMs = Store.BeginTurn();
        Store.EngineNeedsLock.RemoveKey(key);
        Store.LeaveTurnNeedsLock(nowMs);
        Store.ExitTurn();
    }
}
