using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

public sealed class ShutdownTests
{
    private static readonly string Again = StreamNames.Again("orders", "billing");

    [Fact]
    public async Task Concurrency_and_prefetch_bound_what_runs_and_what_is_held()
    {
        int running = 0, most = 0, begun = 0;
        using var gate = new SemaphoreSlim(0);
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", async (_, _, token) =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref running));
            Interlocked.Increment(ref begun);
            await gate.WaitAsync(token);
            Interlocked.Decrement(ref running);
        }, o => (o.Concurrency, o.Prefetch) = (3, 3)));
        await PublishAsync(host, 30);

        // While one after the other ends, as many as may be are held, and never one more.
        for (var ended = 0; ended <= 20; ended++)
        {
            await Eventually.TrueAsync("all handlers are busy and all that may wait do", async () =>
            {
                var held = (await host.Store.GetGroupsAsync("orders")) is [var group] ? group.PendingCount : 0;
                Assert.InRange(held, 0, 6);
                return held == 6 && Volatile.Read(ref begun) == 3 + ended;
            });
            gate.Release();
        }

        gate.Release(9);
        await host.WhenSettledAsync("orders", "billing");
        Assert.Equal(3, most);
    }

    [Fact]
    public async Task Stopping_hands_back_what_is_not_begun_and_waits_for_what_runs()
    {
        await using var store = new EmbeddedStreamStore(new());
        var started = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        await using (var first = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", async (_, _, _) =>
        {
            started.TrySetResult();
            await gate.Task;
        }, o => (o.Concurrency, o.Prefetch) = (1, 20)), store))
        {
            await PublishAsync(first, 6);
            await started.Task.WaitAsync(Eventually.Deadline);
            await Eventually.TrueAsync("all entries are held", async () =>
                (await store.PendingSummaryAsync("orders", "billing")).Count == 6);

            var stop = first.StopAsync();
            await Eventually.TrueAsync("entries are handed back", async () => (await store.GetStreamInfoAsync(Again))!.Length == 5);
            Assert.False(stop.IsCompleted);
            gate.SetResult();
            await stop.WaitAsync(Eventually.Deadline);
        }

        Assert.Equal(0, (await store.PendingSummaryAsync("orders", "billing")).Count);
        await using var second = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (order, context, _) =>
        {
            Assert.Equal((1L, 1, "orders"), (context.DeliveryCount, context.Attempt, context.Stream));
            context.Publish("done", new OrderPaid(order.OrderId));
            return Task.CompletedTask;
        }), store, instance: "other");
        await second.ReadAsync("done", 5);
        Assert.Null(await store.GetStreamInfoAsync(StreamNames.DeadLetters("orders", "billing")));
    }

    [Fact]
    public async Task Handler_that_runs_past_the_drain_time_is_cancelled_and_its_entry_handed_back()
    {
        var time = new ManualTimeProvider();
        var started = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            m => m.Configure(o => o.DrainTimeout = TimeSpan.FromSeconds(7)).AddConsumer<OrderCreated>(
                "orders", "billing", async (_, _, token) =>
            {
                started.TrySetResult();
                await Task.Delay(Timeout.Infinite, token);
            }),
            time: time);
        await PublishAsync(host, 1);
        await started.Task.WaitAsync(Eventually.Deadline);

        var stop = host.StopAsync();
        await time.WaitForTimerAsync(TimeSpan.FromSeconds(7));
        time.Advance(TimeSpan.FromSeconds(7));
        await stop.WaitAsync(Eventually.Deadline);

        Assert.Equal(0, (await host.Store.PendingSummaryAsync("orders", "billing")).Count);
        var back = Assert.Single(await host.ReadAsync(Again)).Fields;
        Assert.False(back.TryGet(EntryFieldNames.PriorDeliveries, out _));
    }

    [Fact]
    public async Task Line_that_breaks_while_stopping_does_not_keep_handlers_from_ending()
    {
        await using var store = new EmbeddedStreamStore(new());
        var reads = 0;
        var started = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, _) =>
            {
                started.SetResult();
                await gate.Task;
                context.Publish("done", new OrderPaid(order.OrderId));
            }),
            FaultyStore.Wrap(store, call => call == "ReadGroupAsync" && Interlocked.Increment(ref reads) > 1
                ? FaultyStore.Fault.After
                : FaultyStore.Fault.None));
        await PublishAsync(host, 1);
        await started.Task.WaitAsync(Eventually.Deadline);
        await Eventually.TrueAsync("the second read is parked", () => new(Volatile.Read(ref reads) == 2));

        var stop = host.StopAsync();
        gate.SetResult();
        await stop.WaitAsync(Eventually.Deadline);

        Assert.Equal(0, (await store.PendingSummaryAsync("orders", "billing")).Count);
        Assert.Equal(1, (await store.GetStreamInfoAsync("done"))!.EntriesAdded);
    }

    [Fact]
    public async Task Entry_at_the_limit_of_fields_is_handed_back_like_any_other()
    {
        await using var store = new EmbeddedStreamStore(new());
        await store.CreateGroupAsync(Again, "billing", GroupStart.Beginning);
        var largest = new EntryFieldsWriter();
        for (var i = 0; i < StreamLimits.MaxFields; i++)
            largest.Add($"f{i}", "");
        var started = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", async (_, _, _) =>
        {
            started.TrySetResult();
            await gate.Task;
        }, o => (o.Concurrency, o.Prefetch) = (1, 20)), store);
        await PublishAsync(host, 1);
        await started.Task.WaitAsync(Eventually.Deadline);
        await store.AppendAsync(Again, largest.ToFields());
        await Eventually.TrueAsync("the entry is held", async () => (await store.PendingSummaryAsync(Again, "billing")).Count == 1);

        var stop = host.StopAsync();
        gate.SetResult();
        await stop.WaitAsync(Eventually.Deadline);

        Assert.Equal(0, (await store.PendingSummaryAsync("orders", "billing")).Count);
        Assert.Equal(0, (await store.PendingSummaryAsync(Again, "billing")).Count);
        Assert.Equal(StreamLimits.MaxFields + 1, Assert.Single(await store.RangeAsync(Again, new())).Fields.Count);
    }

    private static async Task PublishAsync(ConsumerHost host, int count) =>
        await host.Publisher.PublishManyAsync("orders", Enumerable.Range(0, count).Select(i => new OrderCreated($"o{i}", i)).ToList());

    private static void InterlockedMax(ref int most, int value)
    {
        for (var seen = most; seen < value; seen = most)
            Interlocked.CompareExchange(ref most, value, seen);
    }
}
