using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>A message that kills each process it meets, read together with innocent ones, and no more deaths allowed than is advised at least.</summary>
public sealed class KillerMessageTests(SharedRedis redis)
{
    private const int MaxDeliveries = 3;

    /// <summary>So that the first claim of a process brings a whole page.</summary>
    private const int ManyBytes = 1 << 30;

    private static readonly string[] Innocents = ["i1", "i2", "i3", "i4", "i5", "i6"];

    [Fact]
    public async Task Message_that_kills_is_dead_after_three_deaths_and_those_beside_it_are_handled_on_the_embedded_store()
    {
        await using var store = new EmbeddedStreamStore(new());
        await RunAsync(store, "orders");
    }

    [Fact]
    public async Task Message_that_kills_is_dead_after_three_deaths_and_those_beside_it_are_handled_on_redis()
    {
        await using var store = new RedisStreamStore(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));
        await RunAsync(store, $"killer-{Guid.NewGuid():N}");
    }

    private static async Task RunAsync(IStreamStore store, string stream)
    {
        using var killed = new SemaphoreSlim(0);
        var handled = new ConcurrentQueue<(string Order, long Delivery)>();
        await store.CommitAsync(new Commit { Changes = [.. Innocents.Prepend("killer").Select(order => Append(stream, order))] });

        // Three lives, and the first message read in each is the killer.
        for (var deaths = 0; deaths < MaxDeliveries; deaths++)
        {
            await using var dying = await StartAsync();
            Assert.True(await killed.WaitAsync(Eventually.Deadline));
            await Eventually.TrueAsync("the others wait beside it", async () =>
                (await store.PendingSummaryAsync(stream, "billing")).Count == Innocents.Length + 1);
            await dying.AbortAsync();
        }

        await using var host = await StartAsync();
        var dead = Assert.Single(await host.ReadAsync(StreamNames.DeadLetters(stream, "billing"))).Fields;
        await host.WhenSettledAsync(stream, "billing");
        await host.StopAsync();

        Assert.Contains("killer", dead.GetText("data"u8), StringComparison.Ordinal);
        Assert.Equal((DeadLetterReasons.DeliveryLimit, "3"), (dead.GetText("deadreason"u8), dead.GetText("priordeliveries"u8)));
        Assert.Equal(1, (await store.GetStreamInfoAsync(StreamNames.DeadLetters(stream, "billing")))!.EntriesAdded);

        // Charged with the first death, in whose process they waited, and the second, whose process had claimed them in one page with the killer.
        Assert.Equal(Innocents.Select(order => (order, 3L)), handled.Order());

        Task<ConsumerHost> StartAsync() => ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                stream,
                "billing",
                async (order, context, token) =>
                {
                    if (order.OrderId == "killer")
                    {
                        killed.Release();
                        await Task.Delay(Timeout.Infinite, token);
                    }

                    handled.Enqueue((order.OrderId, context.DeliveryCount));
                },
                o => (o.Concurrency, o.Prefetch, o.PrefetchBytes, o.MaxDeliveries) = (1, 10, ManyBytes, MaxDeliveries)),
            store);
    }

    private static CommitChange Append(string stream, string order) => new CommitChange.Append(stream, EntryFields.Create(
        ("type", "order.created"), ("schemaversion", "2"), ("data", $"{{\"orderId\":\"{order}\",\"total\":1}}")));
}
