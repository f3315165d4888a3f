using System.Collections.Concurrent;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>Groups, consumers and streams that vanished, piled up, or were not found again.</summary>
public abstract class GroupIncidentTests(SharedRedis? redis) : IncidentTests(redis)
{
    public sealed class OnEmbedded() : GroupIncidentTests(null);

    public sealed class OnRedis(SharedRedis redis) : GroupIncidentTests(redis);

    /// <summary>The group was made at the end of the stream, so that what was published before the first start was read by nobody.</summary>
    [Fact]
    public async Task Cap_and_FastStream_2694_new_group_reads_what_is_there_already()
    {
        await PublishAsync(Orders(5));

        await using var host = await StartDoneAsync(o => o.Concurrency = 1);
        await host.ReadAsync(Done, 5);

        Assert.Equal(Orders(5), await HandledAsync());
    }

    /// <summary>A group that was gone was made again at the end of the stream: what had been published meanwhile was skipped without a word.</summary>
    [Fact]
    public async Task Jac_7489_group_that_vanished_is_not_made_again_at_the_end()
    {
        await using var host = await StartDoneAsync();
        await PublishAsync(host, "before");
        await host.ReadAsync(Done);
        await host.WhenSettledAsync(Stream, Group);

        await Store.DestroyGroupAsync(Stream, Group);
        await PublishAsync(host, "meanwhile1", "meanwhile2");

        await WhenHandledAsync("meanwhile1");
        await WhenHandledAsync("meanwhile2");
    }

    /// <summary>The same while the consumer is stopped, as after a restart of a server that kept nothing of the group.</summary>
    [Fact]
    public async Task Redis_py_2937_group_that_vanished_while_nobody_read_is_not_made_again_at_the_end()
    {
        await using (var first = await StartDoneAsync())
        {
            await PublishAsync(first, "before");
            await first.ReadAsync(Done);
            await first.WhenSettledAsync(Stream, Group);
            await first.StopAsync();
        }

        await Store.DestroyGroupAsync(Stream, Group);
        await PublishAsync("meanwhile");
        await using var second = await StartDoneAsync();

        await WhenHandledAsync("meanwhile");
    }

    /// <summary>The container did not go on when its stream was deleted and made again.</summary>
    [Fact]
    public async Task Spring_data_redis_2532_stream_that_is_deleted_and_made_again_is_read_on()
    {
        await using var host = await StartDoneAsync();
        for (var i = 0; i < 3; i++)
        {
            await PublishAsync(host, $"o{i}");
            await WhenHandledAsync($"o{i}");
            await Store.DeleteStreamAsync(Stream);
        }

        await PublishAsync(host, "last");
        await WhenHandledAsync("last");
    }

    /// <summary>Each start made a consumer of a new name and nobody removed one: 38 million of them.</summary>
    [Fact]
    public async Task Redis_8635_process_that_is_killed_and_started_again_stays_one_consumer()
    {
        for (var i = 0; i < 5; i++)
        {
            await using var host = await StartDoneAsync(instance: "shop-1");
            await PublishAsync(host, $"o{i}");
            await WhenHandledAsync($"o{i}");
            await host.AbortAsync();
        }

        var consumer = Assert.Single(await Store.GetConsumersAsync(Stream, Group));
        Assert.Equal("shop-1", consumer.Name);
    }

    /// <summary>All instances read under the name of the group, so that nobody could tell whose a pending entry was.</summary>
    [Fact]
    public async Task Dapr_and_Cap_pending_entries_tell_their_instance()
    {
        var end = new TaskCompletionSource();
        await using var first = await StartAsync((_, _, _) => end.Task, o => (o.Concurrency, o.Prefetch) = (1, 0), "shop-1");
        await using var second = await StartAsync((_, _, _) => end.Task, o => (o.Concurrency, o.Prefetch) = (1, 0), "shop-2");

        await PublishAsync("o1", "o2");
        await WhenPendingAsync(2);
        var summary = await Store.PendingSummaryAsync(Stream, Group);
        end.SetResult();

        Assert.Equal(new Dictionary<string, long> { ["shop-1"] = 1, ["shop-2"] = 1 }, summary.CountByConsumer);
        await first.WhenSettledAsync(Stream, Group);
    }

    /// <summary>Consumers that looked dead were deleted, and what they had pending was deleted with them.</summary>
    [Fact]
    public async Task Watermill_24_and_Redis_9745_consumer_is_never_deleted_with_entries_pending()
    {
        await PublishAsync("o1");
        await DeliverAsync("dead", 1);

        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteConsumer(Stream, Group, "dead")] });
        Assert.Equal(1, (await Store.PendingSummaryAsync(Stream, Group)).Count);
        await using var host = await StartDoneAsync(o => o.Lease = ShortLease);
        await host.ReadAsync(Done);
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal(["o1"], await HandledAsync());
    }

    /// <summary>Nobody looked after the entries of a process that never came back; its team believed in a timeout that Redis does not have.</summary>
    [Fact]
    public async Task Openlinker_2164_entries_of_a_process_that_never_comes_back_are_taken_over()
    {
        await PublishAsync(Orders(5));
        await DeliverAsync("dead", 5);

        await using var host = await StartDoneAsync(o => o.Lease = ShortLease);
        await host.ReadAsync(Done, 5);
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal(Orders(5), (await HandledAsync()).Order());
    }

    /// <summary>The search for idle entries looked at the first page of those pending, so that fresh ones hid the old ones behind them.</summary>
    [Fact]
    public async Task Nestjs_redisx_and_Wolverine_idle_entry_behind_many_fresh_ones_is_found()
    {
        await PublishAsync([.. Orders(200), "old"]);
        var fresh = (await DeliverAsync("alive", 200)).Select(entry => new HeldEntry(entry.Id, entry.DeliveryCount)).ToList();
        await DeliverAsync("dead", 1);
        using var end = new CancellationTokenSource();
        var renewing = RenewAsync(fresh, end.Token);

        await using var host = await StartDoneAsync(o => o.Lease = ShortLease);
        await WhenHandledAsync("old");

        await end.CancelAsync();
        await renewing;
    }

    /// <summary>What a killed run had left was read page by page, but always the first page, as long as its entries were not settled.</summary>
    [Fact]
    public async Task Cap_all_pages_of_what_a_killed_run_left_are_handled()
    {
        await PublishAsync(Orders(300));
        await DeliverAsync("local", 300);
        var begun = 0;
        var haveAllBegun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        await using var host = await StartAsync(
            async (order, context, token) =>
            {
                if (Interlocked.Increment(ref begun) == 300)
                    haveAllBegun.SetResult();
                await haveAllBegun.Task.WaitAsync(token); // Until then none is settled.
                context.Publish(Done, new OrderPaid(order.OrderId));
            },
            o => o.Concurrency = 300);
        await host.ReadAsync(Done, 300);
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal(Orders(300).Order(StringComparer.Ordinal), (await HandledAsync()).Order(StringComparer.Ordinal));
    }

    /// <summary>The limit was looked at before a read only, and a batch started a handler for each of its entries.</summary>
    [Fact]
    public async Task Nestjs_redisx_batch_starts_no_more_handlers_than_set()
    {
        var gate = new SemaphoreSlim(0);
        var running = 0;
        var most = new ConcurrentBag<int>();
        await using var host = await StartAsync(
            async (_, _, token) =>
            {
                most.Add(Interlocked.Increment(ref running));
                await gate.WaitAsync(token);
                Interlocked.Decrement(ref running);
            },
            o => (o.Concurrency, o.Prefetch) = (2, 18));

        await PublishAsync(host, Orders(20));
        await WhenPendingAsync(5);
        await Eventually.TrueAsync("as many run as may", () => new(most.Count == 2));
        gate.Release(20);
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal((20, 2), (most.Count, most.Max()));
    }

    /// <summary>Renews as a process does that is alive.</summary>
    private async Task RenewAsync(List<HeldEntry> held, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(ShortLease / 10);
        try
        {
            while (true)
            {
                await Store.ExtendAsync(Stream, Group, "alive", held, cancellationToken);
                await timer.WaitForNextTickAsync(cancellationToken);
            }
        }
        catch (OperationCanceledException)
        {
            // Told to end.
        }
    }
}
