using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>
/// Handlers that took longer than their entries were thought to be idle, and ran twice: on the embedded store with a clock that only we move,
/// on Redis with one that nobody does.
/// </summary>
public sealed class LeaseIncidentTests(SharedRedis redis, ITestOutputHelper output)
{
    private const string Group = "billing";

    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ShortLease = TimeSpan.FromMilliseconds(500);

    private readonly ConcurrentQueue<string> _runs = new();
    private readonly TaskCompletionSource _end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _mayEnd;
    private volatile bool _isDeaf;

    /// <summary>
    /// Handlers of more than four minutes were run again by the recovery while they ran, and the answer was: not for long tasks. Ten minutes
    /// with a lease of five seconds; then, and only then, its process is killed.
    /// </summary>
    [Fact]
    public async Task Cap_1228_and_Asynq_1030_handler_longer_than_the_claim_idle_time_runs_once_and_once_more_when_its_process_dies()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await using var first = await StartAsync(store, "orders", "shop-1", Lease, time);
        await first.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await Eventually.TrueAsync("the handler runs", () => new(_runs.Count == 1));
        await using var second = await StartAsync(store, "orders", "shop-2", Lease, time);

        for (var passed = TimeSpan.Zero; passed < TimeSpan.FromMinutes(10); passed += Lease / 3)
        {
            time.Advance(Lease / 3);
            await Eventually.TrueAsync("the lease is renewed", async () =>
                (await store.PendingAsync("orders", Group, new())) is [{ Consumer: "shop-1", DeliveryCount: 1, IdleTime.Ticks: 0 }]);
        }

        Assert.Equal(["shop-1"], _runs);
        _mayEnd = true;
        await first.AbortAsync();
        await Eventually.TrueAsync("the other process takes over", async () =>
        {
            time.Advance(Lease / 3);
            return await store.GetStreamInfoAsync("done") is not null;
        });
        await second.WhenSettledAsync("orders", Group);
        Assert.Equal(["shop-1", "shop-2"], _runs);
        Assert.Equal(1, (await store.GetStreamInfoAsync("done"))!.EntriesAdded);
    }

    /// <summary>
    /// The same for ten seconds with a lease of half a second. A machine that leaves the process no processor for that long may cost it the
    /// lease, so that such moments are counted, and a second run without one fails; whatever happens, there is one output.
    /// </summary>
    [Fact]
    public async Task Cap_1228_and_Asynq_1030_the_same_on_redis()
    {
        var stream = $"orders-{Guid.NewGuid():N}";
        await using var store = new RedisStreamStore(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));
        await using var first = await StartAsync(store, stream, "shop-1", ShortLease);
        await using var second = await StartAsync(store, stream, "shop-2", ShortLease);
        await first.Publisher.PublishAsync(stream, new OrderCreated("o1", 1));
        await Eventually.TrueAsync("the handler runs", () => new(!_runs.IsEmpty));

        var stalls = await StallWatch.CountAsync(store, TimeSpan.FromSeconds(10), ShortLease / 3);
        output.WriteLine($"{_runs.Count} run(s), {stalls} stall(s) of more than {ShortLease / 3}");
        Assert.InRange(_runs.Count, 1, 1 + stalls);

        _mayEnd = true;
        var holder = (await store.PendingAsync(stream, Group, new()))[0].Consumer;
        var (killed, other, name) = holder == "shop-1" ? (first, second, "shop-2") : (second, first, "shop-1");
        await killed.AbortAsync();
        await other.ReadAsync($"{stream}-done");
        await other.WhenSettledAsync(stream, Group);
        Assert.Equal(name, _runs.Last());
        Assert.Equal(1, (await store.GetStreamInfoAsync($"{stream}-done"))!.EntriesAdded);
    }

    /// <summary>The idle time of messages ran while they waited in the process for a handler, and others were given them.</summary>
    [Fact]
    public async Task Dapr_4599_and_3481_messages_that_wait_for_a_handler_do_not_age_into_redelivery()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await using var first = await StartAsync(store, "orders", "shop-1", Lease, time);
        await first.Publisher.PublishManyAsync<OrderCreated>("orders", [.. Enumerable.Range(0, 5).Select(i => new OrderCreated($"o{i}", 1))]);
        await Eventually.TrueAsync("all are held", async () =>
            !_runs.IsEmpty && (await store.GetGroupsAsync("orders")).FirstOrDefault(group => group.Name == Group) is { PendingCount: 5 });
        await using var second = await StartAsync(store, "orders", "shop-2", Lease, time);

        for (var i = 0; i < 60; i++)
        {
            time.Advance(Lease / 3);
            await Eventually.TrueAsync("the leases are renewed", async () =>
                (await store.PendingAsync("orders", Group, new())).All(entry => entry is { Consumer: "shop-1", DeliveryCount: 1, IdleTime.Ticks: 0 }));
        }

        Assert.Equal(["shop-1"], _runs);
        _mayEnd = true;
        _end.SetResult();
        await first.ReadAsync("done", 5);
        await first.WhenSettledAsync("orders", Group);
        Assert.Equal(Enumerable.Repeat("shop-1", 5), _runs);
    }

    /// <summary>The search for idle entries handed a message that was running to the very consumer that ran it, past the limit of deliveries.</summary>
    [Fact]
    public async Task Mastra_23648_running_message_is_not_claimed_by_its_own_consumer()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        var (searches, renewals) = (0, 0);
        _isDeaf = true; // It is told after a lease, and runs on.
        using var answers = new ManualResetEventSlim();
        var slow = FaultyStore.Wrap(store, call =>
        {
            if (call == nameof(IStreamStore.ExtendAsync))
            {
                Interlocked.Increment(ref renewals);
                answers.Wait(Eventually.Deadline);
            }

            if (call == nameof(IStreamStore.PendingAsync))
                Interlocked.Increment(ref searches);
            return FaultyStore.Fault.None;
        });
        await using var host = await StartAsync(slow, "orders", "shop-1", Lease, time);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await Eventually.TrueAsync("the handler runs", () => new(_runs.Count == 1));
        var before = Volatile.Read(ref searches);

        // The renewal is on its way and not answered, so that every search finds the entry idle. It keeps the thread that moved the clock.
        var renewing = Task.Run(() => time.Advance(Lease / 3));
        await Eventually.TrueAsync("the lease is being renewed", () => new(Volatile.Read(ref renewals) > 0));
        await Eventually.TrueAsync("there were ten searches", () =>
        {
            time.Advance(2 * Lease);
            return new(Volatile.Read(ref searches) >= before + 10);
        });
        answers.Set();
        await renewing;

        Assert.Single(_runs);
        Assert.Equal(1, (await store.PendingAsync("orders", Group, new()))[0].DeliveryCount);
        _mayEnd = true;
        _end.SetResult();
        await host.ReadAsync("done");
        Assert.Single(_runs);
    }

    private Task<ConsumerHost> StartAsync(IStreamStore store, string stream, string instance, TimeSpan lease, TimeProvider? time = null) =>
        ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                stream,
                Group,
                async (order, context, token) =>
                {
                    _runs.Enqueue(context.Consumer);
                    if (!_mayEnd)
                        await _end.Task.WaitAsync(_isDeaf ? CancellationToken.None : token);
                    context.Publish(stream == "orders" ? "done" : $"{stream}-done", new OrderPaid(order.OrderId));
                },
                o => (o.Concurrency, o.Prefetch, o.Lease, o.HandlerTimeout) = (1, 40, lease, Timeout.InfiniteTimeSpan)),
            store,
            time,
            instance: instance);
}
