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
        using var log = new EventLog();
        await using var host = await StartAsync(
            store, (call, args) => IsSettlement(call, args) && Interlocked.Decrement(ref left) >= 0 ? Fault.After : Fault.None, log);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.WhenSettledAsync("orders", "billing");
        await host.StopAsync();

        Assert.Equal(1, (await store.GetStreamInfoAsync("done"))!.EntriesAdded);
        Assert.Contains(EventIds.SettlementUnknown, log.Events);
        Assert.DoesNotContain(EventIds.LeaseLost, log.Events);
    }

    /// <summary>It was told that the lease was lost and nothing written, and undid what was in the store.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Settling_by_hand_whose_answer_is_lost_is_told_that_nobody_knows_and_has_its_effects_once(bool rejects)
    {
        await using var store = new EmbeddedStreamStore(new());
        var left = 1;
        var told = new TaskCompletionSource<bool>();
        using var log = new EventLog();
        await using var host = await StartByHandAsync(
            store, (call, args) => IsSettlement(call, args) && Interlocked.Decrement(ref left) >= 0 ? Fault.After : Fault.None, rejects, told, log);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var failure = await Assert.ThrowsAsync<StreamException>(() => told.Task.WaitAsync(Eventually.Deadline));
        await host.StopAsync();

        Assert.Equal(StreamErrorCode.OutcomeUnknown, failure.Code);
        Assert.Equal(1, (await store.GetStreamInfoAsync("done"))!.EntriesAdded);
        Assert.Equal(rejects ? 1 : 0, (await store.GetStreamInfoAsync(StreamNames.DeadLetters("orders", "billing")))?.EntriesAdded ?? 0);
        Assert.Empty(await store.PendingAsync("orders", "billing", new()));
        Assert.DoesNotContain(EventIds.LeaseLost, log.Events);
        Assert.DoesNotContain(EventIds.HandlerFailed, log.Events); // It is not tried again, and nobody is told that it was.
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Settling_by_hand_that_never_arrived_is_told_that_somebody_else_has_the_message(bool rejects)
    {
        await using var store = new EmbeddedStreamStore(new());
        var left = 1;
        var told = new TaskCompletionSource<bool>();
        await using var host = await StartByHandAsync(
            store,
            (call, args) =>
            {
                if (!IsSettlement(call, args) || Interlocked.Decrement(ref left) < 0)
                    return Fault.None;
                Assert.True(StealAsync(store).IsCompletedSuccessfully);
                return Fault.Before;
            },
            rejects,
            told);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));

        Assert.False(await told.Task.WaitAsync(Eventually.Deadline));
        Assert.Null(await store.GetStreamInfoAsync("done"));
        Assert.Equal("thief", Assert.Single(await store.PendingAsync("orders", "billing", new())).Consumer);
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
            store, (call, _) => call == "ReadGroupAsync" && Interlocked.Exchange(ref isBroken, false) ? Fault.After : Fault.None);

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

    private static async Task StealAsync(IStreamStore store)
    {
        var ids = (await store.PendingAsync("orders", "billing", new())).Select(entry => entry.Id).ToList();
        await store.ClaimAsync("orders", "billing", new() { Consumer = "thief", Ids = ids, MinIdleTime = TimeSpan.Zero });
    }

    private static bool IsSettlement(string call, object?[] args) =>
        call == nameof(IStreamStore.CommitAsync) && ((IReadOnlyList<Commit>)args[0]!).Any(commit => commit.Changes.Any(change => change is CommitChange.Ack));

    private static Task<ConsumerHost> StartAsync(IStreamStore store, Func<string, object?[], Fault> faults, EventLog? log = null) =>
        ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (order, context, _) =>
            {
                context.Publish("done", new OrderPaid(order.OrderId));
                return Task.CompletedTask;
            }),
            Wrap(store, faults),
            log: log);

    private static Task<ConsumerHost> StartByHandAsync(
        IStreamStore store, Func<string, object?[], Fault> faults, bool rejects, TaskCompletionSource<bool> told, EventLog? log = null) =>
        ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, token) =>
            {
                context.Publish("done", new OrderPaid(order.OrderId));
                try
                {
                    told.SetResult(rejects ? await context.RejectAsync("bad", token) : await context.AckAsync(token));
                }
                catch (StreamException exception)
                {
                    told.SetException(exception);
                    throw;
                }
            }),
            Wrap(store, faults),
            log: log);
}
