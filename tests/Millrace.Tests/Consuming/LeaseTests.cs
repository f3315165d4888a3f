using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Recovery;

namespace Millrace.Tests.Consuming;

/// <summary>With a clock that stands still: leases of 30 s, renewed each 10 s, idle entries looked for each 15 s.</summary>
public sealed class LeaseTests : IAsyncLifetime
{
    private readonly ManualTimeProvider _time = new();
    private readonly EmbeddedStreamStore _store;

    public LeaseTests() => _store = new(new(), _time);

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    [Fact]
    public async Task Lease_is_renewed_for_as_long_as_the_handler_runs()
    {
        var started = new TaskCompletionSource();
        var end = new TaskCompletionSource();
        await using var host = await StartAsync(async (_, context, _) =>
        {
            started.SetResult();
            await end.Task;
            context.Publish("done", new OrderPaid("o1"));
        }, o => o.HandlerTimeout = Timeout.InfiniteTimeSpan);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await started.Task.WaitAsync(Eventually.Deadline);

        for (var i = 0; i < 9; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(10));
            await Eventually.TrueAsync("the lease is renewed", async () => (await PendingAsync())[0].IdleTime == TimeSpan.Zero);
        }

        Assert.Equal(("local", 1L), ((await PendingAsync())[0].Consumer, (await PendingAsync())[0].DeliveryCount));
        end.SetResult();
        Assert.Single(await host.ReadAsync("done"));
    }

    [Fact]
    public async Task Lost_lease_cancels_the_handler_and_drops_its_effects()
    {
        var started = new TaskCompletionSource();
        var noticed = new TaskCompletionSource<bool>();
        await using var host = await StartAsync(async (_, context, token) =>
        {
            started.SetResult();
            await Record.ExceptionAsync(() => Task.Delay(Timeout.Infinite, token));
            context.Publish("done", new OrderPaid("o1"));
            noticed.SetResult(context.LeaseLost.IsCancellationRequested);
        }, o => o.HandlerTimeout = Timeout.InfiniteTimeSpan);
        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await started.Task.WaitAsync(Eventually.Deadline);

        await _store.ClaimAsync("orders", "billing", new() { Consumer = "thief", Ids = [id], MinIdleTime = TimeSpan.Zero });
        _time.Advance(TimeSpan.FromSeconds(10));

        Assert.True(await noticed.Task.WaitAsync(Eventually.Deadline));
        await host.StopAsync();
        Assert.Equal("thief", (await PendingAsync())[0].Consumer);
        Assert.Null(await _store.GetStreamInfoAsync("done"));
    }

    [Fact]
    public async Task Entry_that_somebody_else_took_is_not_acknowledged_by_the_handler_that_lost_it()
    {
        var started = new TaskCompletionSource();
        await using var host = await StartAsync(async (_, _, token) =>
        {
            started.SetResult();
            await Record.ExceptionAsync(() => Task.Delay(Timeout.Infinite, token));
        }, o => o.HandlerTimeout = Timeout.InfiniteTimeSpan);
        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await started.Task.WaitAsync(Eventually.Deadline);

        await _store.ClaimAsync("orders", "billing", new() { Consumer = "thief", Ids = [id], MinIdleTime = TimeSpan.Zero });
        _time.Advance(TimeSpan.FromSeconds(10));

        await host.StopAsync();
        Assert.Equal("thief", Assert.Single(await PendingAsync()).Consumer);
    }

    [Fact]
    public async Task Entry_that_somebody_else_took_while_its_acknowledgement_waited_is_not_acknowledged()
    {
        var (leaving, mayLeave) = (new TaskCompletionSource(), new TaskCompletionSource());
        var store = HookedStore.Wrap(_store, async (member, _) =>
        {
            if (member == nameof(IStreamStore.AckAsync))
            {
                leaving.TrySetResult();
                await mayLeave.Task;
            }
        });
        var lost = CancellationToken.None;
        var third = new TaskCompletionSource();
        var end = new TaskCompletionSource();
        await using var host = await StartAsync(async (order, context, _) =>
        {
            if (order.OrderId == "o2")
                lost = context.LeaseLost;
            if (order.OrderId == "o3")
            {
                third.SetResult();
                await end.Task;
            }
        }, o => (o.Concurrency, o.HandlerTimeout) = (1, Timeout.InfiniteTimeSpan), store);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await leaving.Task.WaitAsync(Eventually.Deadline);
        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 1));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o3", 1));
        await third.Task.WaitAsync(Eventually.Deadline); // The second one was handled, and its acknowledgement waits behind that of the first.

        await _store.ClaimAsync("orders", "billing", new() { Consumer = "thief", Ids = [id], MinIdleTime = TimeSpan.Zero });
        _time.Advance(TimeSpan.FromSeconds(10));
        await Eventually.TrueAsync("the renewal finds out", () => new(lost.IsCancellationRequested));
        mayLeave.SetResult();
        end.SetResult();

        await host.StopAsync();
        var pending = Assert.Single(await PendingAsync());
        Assert.Equal((id, "thief"), (pending.Id, pending.Consumer));
    }

    [Fact]
    public async Task Handler_that_settled_by_hand_has_no_lease_to_lose()
    {
        var settled = new TaskCompletionSource<CancellationToken>();
        var end = new TaskCompletionSource();
        var running = new TaskCompletionSource();
        await using var host = await StartAsync(async (order, context, token) =>
        {
            if (order.OrderId == "o2")
            {
                running.SetResult();
                await end.Task;
                return;
            }

            await context.AckAsync(token);
            settled.SetResult(token);
            await end.Task;
        });
        await host.Publisher.PublishManyAsync<OrderCreated>("orders", [new("o1", 1), new("o2", 2)]);
        var token = await settled.Task.WaitAsync(Eventually.Deadline);
        await running.Task.WaitAsync(Eventually.Deadline);

        _time.Advance(TimeSpan.FromSeconds(10));
        await Eventually.TrueAsync("the other lease is renewed", async () => (await PendingAsync())[0].IdleTime == TimeSpan.Zero);

        Assert.False(token.IsCancellationRequested);
        end.SetResult();
        await host.WhenSettledAsync("orders", "billing");
    }

    /// <summary>It may wait for long where the store is full; others took the entry meanwhile, ran it beside this handler, and at last buried it.</summary>
    [Fact]
    public async Task Lease_is_renewed_while_what_a_handler_settles_by_hand_waits_for_the_store()
    {
        var isAway = false;
        var waiting = new TaskCompletionSource();
        var line = FaultyStore.Wrap(_store, member =>
        {
            if (member != nameof(IStreamStore.CommitAsync) || !Volatile.Read(ref isAway))
                return FaultyStore.Fault.None;
            waiting.TrySetResult();
            return FaultyStore.Fault.Before;
        });
        var settled = new TaskCompletionSource<bool>();
        await using var host = await StartAsync(async (_, context, token) =>
        {
            Volatile.Write(ref isAway, true);
            context.Publish("done", new OrderPaid("o1"));
            settled.SetResult(await context.AckAsync(token));
        }, o => o.HandlerTimeout = Timeout.InfiniteTimeSpan, line);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await waiting.Task.WaitAsync(Eventually.Deadline);

        for (var i = 0; i < 9; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(10));
            await Eventually.TrueAsync("the lease is renewed", async () => (await PendingAsync())[0].IdleTime == TimeSpan.Zero);
        }

        Volatile.Write(ref isAway, false);
        await Eventually.TrueAsync("it is settled", () =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100)); // The next try.
            return new(settled.Task.IsCompleted);
        });
        Assert.True(await settled.Task);
        Assert.Single(await host.ReadAsync("done"));
        Assert.Empty(await PendingAsync());
    }

    [Fact]
    public async Task Idle_entry_of_a_dead_consumer_is_taken_over_after_the_lease()
    {
        await DeliverAsync("dead", times: 1);
        var seen = new TaskCompletionSource<long>();
        await using var host = await StartAsync((_, context, _) => Task.FromResult(seen.TrySetResult(context.DeliveryCount)));

        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(15));
        _time.Advance(TimeSpan.FromSeconds(15));
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(15));
        Assert.False(seen.Task.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(15));

        Assert.Equal(2, await seen.Task.WaitAsync(Eventually.Deadline));
        await host.WhenSettledAsync("orders", "billing");
    }

    [Fact]
    public async Task Aborted_worker_leaves_its_entry_pending_and_the_next_run_finds_it_at_once()
    {
        var started = new TaskCompletionSource();
        await using (var first = await StartAsync(async (_, _, token) =>
        {
            started.SetResult();
            await Task.Delay(Timeout.Infinite, token);
        }))
        {
            await first.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
            await started.Task.WaitAsync(Eventually.Deadline);
            await first.AbortAsync();
        }

        Assert.Single(await PendingAsync());
        Assert.Equal(0, (await _store.GetStreamInfoAsync(StreamNames.Again("orders", "billing")))!.EntriesAdded);

        var seen = new TaskCompletionSource<(long, int)>();
        await using var second = await StartAsync((_, context, _) =>
            Task.FromResult(seen.TrySetResult((context.DeliveryCount, context.Attempt))));
        Assert.Equal((2, 1), await seen.Task.WaitAsync(Eventually.Deadline));
        await second.WhenSettledAsync("orders", "billing");
    }

    [Fact]
    public async Task Entry_delivered_too_often_is_dead_without_running()
    {
        await DeliverAsync("local", times: 3);
        var runs = 0;
        await using var host = await StartAsync((_, _, _) => Task.FromResult(Interlocked.Increment(ref runs)), o => o.MaxDeliveries = 3);

        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;

        Assert.Equal(DeadLetterReasons.DeliveryLimit, dead.GetText("deadreason"u8));
        Assert.Equal("3", dead.GetText("priordeliveries"u8));
        Assert.Equal(0, runs);
    }

    [Fact]
    public async Task Suspects_are_claimed_one_at_a_time_beside_normal_work()
    {
        await DeliverAsync("local", times: 2);
        await DeliverAsync("local", times: 2);
        await DeliverAsync("local", times: 2);
        var gate = new SemaphoreSlim(0);
        var suspects = 0;
        await using var host = await StartAsync(async (order, context, token) =>
        {
            if (order.OrderId == "suspect")
            {
                Interlocked.Increment(ref suspects);
                await gate.WaitAsync(token);
            }

            context.Publish("done", new OrderPaid(order.OrderId));
        });

        await host.Publisher.PublishAsync("orders", new OrderCreated("fresh", 1));
        await host.ReadAsync("done");
        await Eventually.TrueAsync("the first suspect runs", () => new(suspects == 1));
        Assert.Equal([3, 2, 2], (await PendingAsync()).Select(pending => pending.DeliveryCount));

        gate.Release(3);
        await host.ReadAsync("done", 4);
        await host.WhenSettledAsync("orders", "billing");
    }

    [Fact]
    public async Task Suspect_that_another_consumer_took_meanwhile_is_left_to_it()
    {
        await DeliverAsync("local", times: 2);
        await DeliverAsync("local", times: 2);
        var started = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        await using var host = await StartAsync(async (_, _, _) =>
        {
            started.SetResult();
            await gate.Task;
        });
        await started.Task.WaitAsync(Eventually.Deadline);
        var second = (await PendingAsync())[1].Id;

        await _store.ClaimAsync("orders", "billing", new() { Consumer = "other", Ids = [second], MinIdleTime = TimeSpan.Zero });
        gate.SetResult();
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(15));

        await Eventually.TrueAsync("the first suspect is settled", async () => (await PendingAsync()).Count == 1);
        Assert.Equal((second, "other", 3L), ((await PendingAsync())[0].Id, (await PendingAsync())[0].Consumer, (await PendingAsync())[0].DeliveryCount));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Own_entry_that_another_consumer_takes_between_list_and_claim_is_not_stolen_back(int times)
    {
        await DeliverAsync("local", times);
        _time.Advance(TimeSpan.FromSeconds(30));
        var runs = 0;
        var thefts = 0;
        var store = FaultyStore.Wrap(_store, member =>
        {
            if (member == nameof(IStreamStore.ClaimAsync) && Interlocked.Increment(ref thefts) == 1)
                Assert.True(ClaimAsOtherAsync().IsCompletedSuccessfully);
            return FaultyStore.Fault.None;
        });
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) =>
        {
            Interlocked.Increment(ref runs);
            return Task.CompletedTask;
        }), store, _time);
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(15));

        var pending = Assert.Single(await PendingAsync());
        Assert.Equal(("other", times + 1L), (pending.Consumer, pending.DeliveryCount));
        Assert.Equal((0, 1), (runs, thefts));

        async Task ClaimAsOtherAsync()
        {
            var ids = (await PendingAsync()).Select(entry => entry.Id).ToList();
            await _store.ClaimAsync("orders", "billing", new() { Consumer = "other", Ids = ids, MinIdleTime = TimeSpan.FromSeconds(30) });
        }
    }

    [Fact]
    public async Task Handler_that_never_ends_keeps_nothing_else_that_was_left_pending_from_running()
    {
        var end = new TaskCompletionSource();
        await DeliverAsync("local", times: 1, StreamNames.Again("orders", "billing"), "hangs");
        await DeliverAsync("local", times: 1, "orders", "left");
        await using var host = await StartAsync(async (order, context, _) =>
        {
            if (order.OrderId == "hangs")
                await end.Task;
            context.Publish("done", new OrderPaid(order.OrderId));
        });

        try
        {
            await host.Publisher.PublishAsync("orders", new OrderCreated("fresh", 1));
            await host.ReadAsync("done", 2);
        }
        finally
        {
            end.SetResult();
        }

        await host.ReadAsync("done", 3);
    }

    [Fact]
    public async Task Suspect_that_never_ends_keeps_the_other_suspects_waiting_for_a_lease_only()
    {
        var end = new TaskCompletionSource();
        await DeliverAsync("local", times: 2, "orders", "hangs");
        await DeliverAsync("local", times: 2, "orders", "left");
        await using var host = await StartAsync(async (order, context, _) =>
        {
            if (order.OrderId == "hangs")
                await end.Task;
            context.Publish("done", new OrderPaid(order.OrderId));
        });

        try
        {
            await Eventually.TrueAsync("the other one is handled", async () =>
            {
                _time.Advance(TimeSpan.FromSeconds(10));
                return await _store.GetStreamInfoAsync("done") is not null;
            });
        }
        finally
        {
            end.SetResult();
        }

        await host.ReadAsync("done", 2);
    }

    [Fact]
    public async Task Callback_on_a_lost_lease_that_throws_does_not_end_the_renewal_of_others()
    {
        var isDown = false;
        var extends = 0;
        var store = FaultyStore.Wrap(_store, call =>
        {
            if (call != "ExtendAsync")
                return FaultyStore.Fault.None;
            Interlocked.Increment(ref extends);
            return Volatile.Read(ref isDown) ? FaultyStore.Fault.Before : FaultyStore.Fault.None;
        });
        var started = new SemaphoreSlim(0);
        var end = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, token) =>
        {
            if (order.OrderId == "o1" && context.DeliveryCount > 1)
                return;
            if (order.OrderId == "o1")
                context.LeaseLost.Register(() => throw new InvalidOperationException("of the handler"));
            started.Release();
            await end.Task.WaitAsync(token);
        }, o => o.HandlerTimeout = Timeout.InfiniteTimeSpan), store, _time);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        Assert.True(await started.WaitAsync(Eventually.Deadline));

        Volatile.Write(ref isDown, true);
        for (var i = 1; i <= 3; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(10));
            await Eventually.TrueAsync("the renewal was tried", () => new(Volatile.Read(ref extends) >= i));
        }

        Volatile.Write(ref isDown, false);
        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 1));
        Assert.True(await started.WaitAsync(Eventually.Deadline));
        _time.Advance(TimeSpan.FromSeconds(10));
        await Eventually.TrueAsync("the lease is renewed", async () => (await PendingAsync()).Single(pending => pending.Id == id).IdleTime == TimeSpan.Zero);
        end.SetResult();
    }

    [Fact]
    public async Task Handler_over_its_time_limit_is_cancelled_and_has_failed()
    {
        await using var host = await StartAsync(
            (_, _, token) => Task.Delay(Timeout.Infinite, token), o => (o.HandlerTimeout, o.MaxAttempts) = (TimeSpan.FromSeconds(3), 1));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(3));

        _time.Advance(TimeSpan.FromSeconds(3));

        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;
        Assert.StartsWith("TimeoutException: The handler took longer than its time limit of 00:00:03.", dead.GetText("deaderror"u8));
    }

    private Task<ConsumerHost> StartAsync(
        Func<OrderCreated, MessageContext, CancellationToken, Task> handler, Action<ConsumerOptions>? configure = null, IStreamStore? store = null) =>
        ConsumerHost.StartAsync(m => m.AddConsumer("orders", "billing", handler, configure), store ?? _store, _time);

    /// <summary>Leaves an entry with a consumer that does nothing with it, as often as wanted.</summary>
    private async Task DeliverAsync(string consumer, int times, string stream = "orders", string order = "suspect")
    {
        await _store.CreateGroupAsync(stream, "billing", GroupStart.Beginning);
        var id = await _store.AppendAsync(stream, EntryFields.Create(
            ("type", "order.created"), ("schemaversion", "2"), ("data", $"{{\"orderId\":\"{order}\"}}")));
        await _store.ReadGroupAsync(new() { Group = "billing", Consumer = consumer, Streams = [stream] });
        for (var i = 1; i < times; i++)
            await _store.ClaimAsync(stream, "billing", new() { Consumer = consumer, Ids = [id], MinIdleTime = TimeSpan.Zero });
    }

    private ValueTask<IReadOnlyList<PendingEntry>> PendingAsync() => _store.PendingAsync("orders", "billing", new());
}
