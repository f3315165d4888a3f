using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Monitoring;

public sealed class GroupSamplerTests(SharedRedis redis)
{
    private const string Billing =
        "messaging.system=millrace messaging.destination.name=orders messaging.consumer.group.name=billing";

    private static readonly EntryFields Order =
        EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o\"}"));

    [Fact]
    public async Task Gauges_tell_lag_pending_ages_and_dead_letters()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await store.AppendAsync(StreamNames.DeadLetters("orders", "billing"), Order);
        await store.CommitAsync(new Commit
        {
            Changes = [
                new CommitChange.Schedule("orders", Order, TimeSpan.FromHours(1)),
                new CommitChange.Schedule(StreamNames.Again("orders", "billing"), Order, TimeSpan.FromHours(1)),
            ],
        });
        await using var host = await StartBlockedAsync(store, time);
        await LeavePendingAndUnreadAsync(store, time, host);
        using var recorder = Record(host);

        // The sample may arrive in the middle of a scrape: one that saw the first gauge saw all.
        var found = await recorder.ScrapeUntilAsync(
            static gauges => gauges["millrace.group.lag"].Any() && gauges["millrace.group.time_lag"].Any(reading => reading.Value == 5));

        Assert.Equal(("{message}", 2, Billing), Parts(found["millrace.group.lag"].Single()));
        Assert.Equal(("s", 5, Billing), Parts(found["millrace.group.time_lag"].Single()));
        Assert.Equal(("{message}", 1, Billing), Parts(found["millrace.group.pending"].Single()));
        Assert.Equal(("s", 8, Billing), Parts(found["millrace.group.oldest_unsettled_age"].Single()));
        Assert.Equal(("{message}", 1, Billing), Parts(found["millrace.group.dead_letters"].Single()));
        Assert.Equal(("{message}", 2, Billing), Parts(found["millrace.group.scheduled"].Single()));
    }

    [Fact]
    public async Task Group_that_has_settled_everything_has_zeros()
    {
        await using var host = await ConsumerHost.StartAsync(
            static m => m.AddConsumer<OrderCreated>("orders", "billing", static (_, _, _) => Task.CompletedTask));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.WhenSettledAsync("orders", "billing");
        using var recorder = Record(host);

        var found = await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);

        Assert.All(found.SelectMany(static readings => readings), static reading => Assert.Equal(0, reading.Value));
        Assert.Equal(6, found.Count);
    }

    /// <summary>An entry deleted in front of the group: neither Redis nor the engine knows how many are left.</summary>
    [Fact]
    public async Task Unknown_lag_is_no_measurement_and_never_zero()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await using var host = await StartBlockedAsync(store, time);
        await LeavePendingAndUnreadAsync(store, time, host);
        var unread = await store.RangeAsync("orders", new());
        await store.AppendAsync("orders", Order);
        await store.DeleteAsync("orders", [unread[^1].Id]);
        Assert.Null((await store.GetGroupsAsync("orders"))[0].Lag);
        using var recorder = Record(host);

        var found = await recorder.ScrapeUntilAsync(static gauges => gauges["millrace.group.time_lag"].Any(reading => reading.Value == 5));

        Assert.Empty(found["millrace.group.lag"]);
        Assert.Equal(1, found["millrace.group.pending"].Single().Value);
    }

    [Fact]
    public async Task Age_of_nothing_but_waiting_retries_is_no_measurement_and_never_zero()
    {
        await using var host = await ConsumerHost.StartAsync(
            static m => m.AddConsumer<OrderCreated>("orders", "billing", static (_, _, _) => throw new InvalidOperationException("not now"), static o =>
                (o.RetryBaseDelay, o.RetryMaxDelay) = (TimeSpan.FromDays(1), TimeSpan.FromDays(1))));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await Eventually.TrueAsync("a retry waits", async () => (await host.Store.GetScheduleAsync(StreamNames.Again("orders", "billing"))).Count == 1);
        using var recorder = Record(host);

        var found = await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);

        Assert.Equal(1, found["millrace.group.scheduled"].Single().Value);
        Assert.Equal(0, found["millrace.group.pending"].Single().Value);
        Assert.Empty(found["millrace.group.oldest_unsettled_age"]);
    }

    [Fact]
    public async Task Ordered_group_tells_how_many_of_its_keys_are_parked()
    {
        var isFixed = false;
        await using var host = await ConsumerHost.StartAsync(
            m => m.Configure(static options => options.SampleInterval = TimeSpan.FromMilliseconds(100)).AddConsumer<OrderCreated>(
                "orders",
                "billing",
                (order, _, _) => order.OrderId == "good" || Volatile.Read(ref isFixed) ? Task.CompletedTask : throw new InvalidOperationException("not now"),
                static o => (o.OrderedBy, o.RetryBaseDelay, o.RetryMaxDelay, o.MaxAttempts) =
                    (nameof(OrderCreated.OrderId), TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(50), 1_000)));
        using var recorder = Record(host);
        foreach (var key in new[] { "a", "b", "a", "good", "a" })
            await host.Publisher.PublishAsync("orders", new OrderCreated(key, 1));

        await recorder.ScrapeUntilAsync(static gauges => gauges["millrace.group.parked_keys"].Any(reading => (reading.Unit, reading.Value) == ("{key}", 2)));

        Volatile.Write(ref isFixed, true);
        await recorder.ScrapeUntilAsync(static gauges => gauges["millrace.group.parked_keys"].Any(reading => reading.Value == 0));
    }

    [Fact]
    public async Task Store_is_asked_once_an_interval_however_often_it_is_scraped_and_never_when_nobody_listens()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        var asked = 0;
        var counting = FaultyStore.Wrap(store, member =>
        {
            if (member == nameof(IStreamStore.GetGroupsAsync))
                Interlocked.Increment(ref asked);
            return FaultyStore.Fault.None;
        });
        await using var host = await StartBlockedAsync(counting, time);
        await Eventually.TrueAsync("the group is made, and where it stands noted", async () =>
            await store.GetStateAsync(new("orders", "millrace/ledger/billing")) is not null);
        var askedByWorker = Interlocked.Exchange(ref asked, 0);
        Assert.InRange(askedByWorker, 1, 3); // Once when there is no group yet, twice to note where it stands.

        using (var recorder = Record(host))
        {
            await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);
            for (var i = 0; i < 100; i++)
                recorder.Scrape();
            Assert.Equal(1, asked);
            await time.WaitForTimerAsync(TimeSpan.FromSeconds(4));
            time.Advance(TimeSpan.FromSeconds(4));
            await Eventually.TrueAsync("it is sampled again", () => ValueTask.FromResult(Volatile.Read(ref asked) == 2));
            await time.WaitForTimerAsync(TimeSpan.FromSeconds(4));
        }

        time.Advance(TimeSpan.FromDays(1));
        Assert.Equal(2, asked);
    }

    [Fact]
    public async Task Scrape_during_an_outage_neither_throws_nor_blocks_and_tells_nothing()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        await using var host = await ConsumerHost.StartAsync(
            static m => m.Configure(static options => options.SampleInterval = TimeSpan.FromMilliseconds(100))
                .AddConsumer<OrderCreated>("orders", "billing", static (_, _, _) => Task.CompletedTask), store);
        using var recorder = Record(host);
        await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);

        await server.KillAsync();
        await recorder.ScrapeUntilAsync(static gauges => gauges.Count == 0);

        await server.StartAgainAsync();
        var found = await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);
        Assert.Contains("millrace.group.pending", found.Select(static readings => readings.Key));
    }

    /// <summary>A server that takes commands and answers none: worse than one that refuses connections.</summary>
    [Fact]
    public async Task Scrape_of_a_server_that_hangs_returns_without_figures_until_it_answers_again()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        await using var host = await ConsumerHost.StartAsync(
            static m => m.Configure(static options => options.SampleInterval = TimeSpan.FromMilliseconds(100))
                .AddConsumer<OrderCreated>("orders", "billing", static (_, _, _) => Task.CompletedTask), store);
        using var recorder = Record(host);
        await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);

        // Nothing ends such a pause early; a scrape that waited for the server would only return after it, with figures.
        await server.CliAsync("CLIENT", "PAUSE", "15000", "ALL");

        await recorder.ScrapeUntilAsync(static gauges => gauges.Count == 0);
        await recorder.ScrapeUntilAsync(static gauges => gauges.Count > 0);
    }

    [Fact]
    public async Task Gauges_tell_the_same_of_a_real_redis()
    {
        var name = $"gauges-{Guid.NewGuid():N}";
        await using var store = new RedisStreamStore(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));
        await store.AppendAsync(StreamNames.DeadLetters(name, "billing"), Order);
        var handling = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            m => m.Configure(static options => options.SampleInterval = TimeSpan.FromMilliseconds(100))
                .AddConsumer<OrderCreated>(name, "billing", (_, _, token) =>
                {
                    handling.TrySetResult();
                    return Task.Delay(Timeout.Infinite, token);
                }, static o => (o.Concurrency, o.Prefetch) = (1, 0)),
            store);
        using var recorder = Record(host);
        for (var i = 0; i < 3; i++)
        {
            await store.AppendAsync(name, Order);
            await handling.Task.WaitAsync(Eventually.Deadline);
        }

        var found = await recorder.ScrapeUntilAsync(gauges => gauges["millrace.group.lag"].Any(static reading => reading.Value == 2) &&
            gauges["millrace.group.time_lag"].Any(static reading => reading.Value > 0.2));

        var tags = Billing.Replace("orders", name, StringComparison.Ordinal);
        Assert.All(found.SelectMany(static readings => readings), reading => Assert.Equal(tags, reading.Tags));
        Assert.Equal(1, found["millrace.group.pending"].Single().Value);
        Assert.Equal(1, found["millrace.group.dead_letters"].Single().Value);
        Assert.InRange(
            found["millrace.group.oldest_unsettled_age"].Single().Value,
            found["millrace.group.time_lag"].Single().Value,
            Eventually.Deadline.TotalSeconds);
    }

    /// <summary>Listens to the figures about groups alone.</summary>
    private static MeterRecorder Record(ConsumerHost host) =>
        new(host, static name => name.StartsWith("millrace.group.", StringComparison.Ordinal));

    /// <summary>A group of one handler that never ends and reads nothing ahead; looked at each 4 s, which no other timer waits for.</summary>
    private static Task<ConsumerHost> StartBlockedAsync(IStreamStore store, TimeProvider time) => ConsumerHost.StartAsync(
        static m => m.Configure(static options => options.SampleInterval = TimeSpan.FromSeconds(4)).AddConsumer<OrderCreated>(
            "orders",
            "billing",
            static (_, _, token) => Task.Delay(Timeout.Infinite, token),
            static o => (o.Concurrency, o.Prefetch, o.HandlerTimeout) = (1, 0, Timeout.InfiniteTimeSpan)),
        store,
        time);

    /// <summary>One entry pending for 8 seconds, two unread, the first of them for 5.</summary>
    private static async Task LeavePendingAndUnreadAsync(IStreamStore store, ManualTimeProvider time, ConsumerHost host)
    {
        await store.AppendAsync("orders", Order);
        await Eventually.TrueAsync("the handler has it", async () => await host.Store.GetGroupsAsync("orders") is [{ PendingCount: 1 }]);
        time.Advance(TimeSpan.FromSeconds(3));
        await store.AppendAsync("orders", Order);
        await store.AppendAsync("orders", Order);
        time.Advance(TimeSpan.FromSeconds(5));
    }

    private static (string?, double, string) Parts(MeterRecorder.Reading reading) => (reading.Unit, reading.Value, reading.Tags);
}
