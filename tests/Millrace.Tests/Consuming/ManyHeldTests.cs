using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>A group that holds more than a store takes in one call: with batches of the largest size, and what waits behind them.</summary>
public sealed class ManyHeldTests
{
    // What is read ahead fills up until half of it is free at most.
    private const int Prefetch = 4_000;
    private const int Published = StreamLimits.MaxBatch + Prefetch;
    private const int Held = StreamLimits.MaxBatch + (Prefetch / 2);

    [Fact]
    public async Task More_than_fit_in_one_call_are_all_renewed_and_all_acknowledged()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        var acks = new Freezer();
        acks.Freeze();
        var (handled, end) = (0, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddBatchConsumer<OrderCreated>(
                "orders",
                "billing",
                async (orders, _, _) =>
                {
                    await end.Task;
                    Interlocked.Add(ref handled, orders.Count);
                },
                o => (o.Concurrency, o.BatchSize, o.Prefetch, o.HandlerTimeout) = (100, 100, Prefetch, Timeout.InfiniteTimeSpan)),
            acks.Slow(store, nameof(IStreamStore.AckAsync)),
            time);
        var entry = EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o\"}"));
        foreach (var page in Enumerable.Repeat(entry, Published).Chunk(StreamLimits.MaxBatch))
            await store.AppendManyAsync("orders", page);
        await Eventually.TrueAsync("more are held than fit in one call", async () => await PendingAsync(store) >= Held);

        var held = await PendingAsync(store);

        // What was on its way from the store at the first renewal is in time for the second.
        time.Advance(TimeSpan.FromSeconds(10));
        await Eventually.TrueAsync("all but one read are renewed", async () => await PendingAsync(store, TimeSpan.FromSeconds(1)) <= Prefetch / 2);
        time.Advance(TimeSpan.FromSeconds(10));
        await Eventually.TrueAsync("every lease is renewed", async () =>
        {
            if (await PendingAsync(store, TimeSpan.FromSeconds(1)) == 0)
                return true;
            time.Advance(TimeSpan.FromMilliseconds(50)); // Or for the third, on a machine with much else to do.
            return false;
        });

        end.SetResult();
        await Eventually.TrueAsync("all that is held is handled", () => WaitForBatches(time, () => Volatile.Read(ref handled) >= held));
        acks.Thaw();
        await Eventually.TrueAsync("all is settled", () => WaitForBatches(
            time, () => store.GetGroupsAsync("orders") is { IsCompletedSuccessfully: true, Result: [{ PendingCount: 0, Lag: 0 }] }));
        Assert.Equal(Published, handled);
    }

    /// <summary>They were all refused, and their messages failed.</summary>
    [Fact]
    public async Task More_commits_than_fit_in_one_call_are_all_applied()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        var commits = new Freezer();
        var (begun, end) = (0, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<OrderPaid>().AddBatchConsumer<OrderCreated>(
                "orders",
                "billing",
                async (orders, batch, _) =>
                {
                    Interlocked.Add(ref begun, orders.Count);
                    await end.Task;
                    foreach (var item in batch.Items)
                        item.Publish("done", new OrderPaid("o"));
                },
                o => (o.Concurrency, o.BatchSize, o.Prefetch, o.HandlerTimeout) = (100, 100, Prefetch, Timeout.InfiniteTimeSpan)),
            commits.Slow(store, nameof(IStreamStore.CommitAsync)),
            time);
        var entry = EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o\"}"));
        foreach (var page in Enumerable.Repeat(entry, Published).Chunk(StreamLimits.MaxBatch))
            await store.AppendManyAsync("orders", page);
        await Eventually.TrueAsync("more are held than fit in one call", async () => await PendingAsync(store) >= Held);
        var held = (int)await PendingAsync(store);

        commits.Freeze();
        end.SetResult();
        await Eventually.TrueAsync("all that is held is handled", () => WaitForBatches(time, () => Volatile.Read(ref begun) >= held));
        commits.Thaw();

        await Eventually.TrueAsync("all is settled", () => WaitForBatches(
            time, () => store.GetGroupsAsync("orders") is { IsCompletedSuccessfully: true, Result: [{ PendingCount: 0, Lag: 0 }] }));
        Assert.Equal(Published, begun);
        Assert.Equal(Published, (await store.GetStreamInfoAsync("done"))!.Length);
    }

    /// <summary>The last batches never fill.</summary>
    private static ValueTask<bool> WaitForBatches(ManualTimeProvider time, Func<bool> isDone)
    {
        time.Advance(TimeSpan.FromMilliseconds(5));
        return ValueTask.FromResult(isDone());
    }

    private static async Task<long> PendingAsync(IStreamStore store, TimeSpan idle = default) => idle == default
        ? (await store.PendingSummaryAsync("orders", "billing")).Count
        : (await store.PendingAsync("orders", "billing", new() { MinIdleTime = idle, Count = StreamLimits.MaxBatch })).Count;
}
