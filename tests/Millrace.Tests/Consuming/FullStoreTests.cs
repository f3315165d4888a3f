using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Server;

namespace Millrace.Tests.Consuming;

/// <summary>Publishers and handlers of an application whose store is full.</summary>
public sealed class FullStoreTests
{
    [Theory]
    [InlineData(WhenFull.Reject)]
    [InlineData(WhenFull.Wait)]
    public async Task Handler_that_publishes_settles_once_when_there_is_room_and_others_settle_meanwhile(WhenFull whenFull)
    {
        await using var store = new EmbeddedStreamStore(new() { WhenFull = whenFull });
        var (runs, mayEnd) = (0, new TaskCompletionSource());
        await using var host = await ConsumerHost.StartAsync(
            m => m
                .AddConsumer<OrderCreated>("orders", "billing", async (order, context, _) =>
                {
                    Interlocked.Increment(ref runs);
                    await mayEnd.Task;
                    context.Publish("paid", new OrderPaid(order.OrderId));
                })
                .AddConsumer<OrderCreated>("orders", "audit", (_, _, _) => mayEnd.Task),
            store);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await Eventually.TrueAsync("both handlers run", async () => (await store.GetGroupsAsync("orders")).Count(group => group.PendingCount == 1) == 2);

        store.LimitMemory(1);
        mayEnd.SetResult();
        await host.WhenSettledAsync("orders", "audit");
        Assert.Equal(1, (await store.PendingSummaryAsync("orders", "billing")).Count);
        Assert.Null(await store.GetStreamInfoAsync("paid"));

        store.LimitMemory(0);
        await host.WhenSettledAsync("orders", "billing");
        Assert.Equal((1, 1L), (runs, (await store.GetStreamInfoAsync("paid"))!.Length));
    }

    [Fact]
    public async Task Publisher_is_told_that_the_store_is_full()
    {
        await using var store = new EmbeddedStreamStore(new());
        await using var host = await ConsumerHost.StartAsync(_ => { }, store);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        store.LimitMemory(1);

        foreach (var options in (PublishOptions?[])[null, new() { Delay = TimeSpan.FromHours(1) }])
        {
            var refused = await Assert.ThrowsAsync<StreamException>(
                async () => await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 1), options));
            Assert.Equal((StreamErrorCode.OutOfMemory, true), (refused.Code, refused.IsTransient));
        }
    }

    [Fact]
    public async Task Worker_that_starts_on_a_full_store_empties_it()
    {
        await using var store = new EmbeddedStreamStore(new());
        Action<MillraceBuilder> configure = m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => Task.CompletedTask);
        await using (var first = await ConsumerHost.StartAsync(configure, store))
            await first.WhenSettledAsync("orders", "billing");
        await using var publisher = await ConsumerHost.StartAsync(_ => { }, store, instance: "publisher");
        await publisher.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        store.LimitMemory(1);

        await using var second = await ConsumerHost.StartAsync(configure, store);

        await second.WhenSettledAsync("orders", "billing");
    }
}
