using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using static Millrace.Tests.Fixtures.FaultyStore;

namespace Millrace.Tests.Consuming;

public sealed class BadLineTests
{
    [Fact]
    public async Task Commit_whose_answer_is_lost_is_sent_again_and_applied_once()
    {
        await using var store = new EmbeddedStreamStore(new());
        var left = 2;
        await using var host = await StartAsync(
            store, call => call == "CommitAsync" && Interlocked.Decrement(ref left) >= 0 ? Fault.After : Fault.None);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.WhenSettledAsync("orders", "billing");
        await host.StopAsync();

        Assert.Equal(1, (await store.GetStreamInfoAsync("done"))!.EntriesAdded);
    }

    [Fact]
    public async Task Acknowledgement_that_fails_is_sent_again()
    {
        await using var store = new EmbeddedStreamStore(new());
        var left = 3;
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => Task.CompletedTask),
            Wrap(store, call => call == "AckAsync" && Interlocked.Decrement(ref left) >= 0 ? Fault.Before : Fault.None));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));

        await host.WhenSettledAsync("orders", "billing");
        Assert.True(left < 0);
    }

    [Fact]
    public async Task Entries_whose_delivery_was_lost_on_the_way_are_found_at_once()
    {
        await using var store = new EmbeddedStreamStore(new());
        var isBroken = false;
        await using var host = await StartAsync(
            store, call => call == "ReadGroupAsync" && Interlocked.Exchange(ref isBroken, false) ? Fault.After : Fault.None);

        // The read that is parked now was not broken; the one after it will be.
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.ReadAsync("done", 1);
        Volatile.Write(ref isBroken, true);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 1));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o3", 1));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o4", 1));

        Assert.Equal(4, (await host.ReadAsync("done", 4)).Count);
        await host.WhenSettledAsync("orders", "billing");
    }

    private static Task<ConsumerHost> StartAsync(IStreamStore store, Func<string, Fault> faults) => ConsumerHost.StartAsync(
        m => m.AddConsumer<OrderCreated>("orders", "billing", (order, context, _) =>
        {
            context.Publish("done", new OrderPaid(order.OrderId));
            return Task.CompletedTask;
        }),
        Wrap(store, faults));
}
