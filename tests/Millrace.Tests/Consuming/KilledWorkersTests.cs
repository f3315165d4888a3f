using System.Text.Json;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>
/// Consumers that are killed again and again while messages flow, at moments drawn from a seed. Whatever the moment: one output for each
/// message, one count in the state, no dead letter. The delivery limit is out of reach, because the kills are not the messages' fault.
/// </summary>
public sealed class KilledWorkersTests(SharedRedis redis)
{
    private const int Messages = 400;
    private const int Kills = 6;

    /// <summary>Handlers that may still end between the decision to kill and the kill.</summary>
    private const int HandledMeanwhile = 8;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Killed_workers_lose_and_double_nothing_on_the_embedded_store(int seed)
    {
        await using var store = new EmbeddedStreamStore(new());
        await RunAsync(store, "orders", seed);
    }

    [Fact]
    public async Task Killed_workers_lose_and_double_nothing_on_redis()
    {
        await using var store = new RedisStreamStore(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));
        await RunAsync(store, $"killed-{Guid.NewGuid():N}", seed: 3);
    }

    private static async Task RunAsync(IStreamStore store, string stream, int seed)
    {
        var random = new Random(seed);
        var done = $"{stream}-done";
        int handled = 0, killAt = 0;
        var kill = NextKill();
        var host = await StartAsync();
        await host.Publisher.PublishManyAsync(stream, Enumerable.Range(0, Messages).Select(i => new OrderCreated($"o{i}", i)).ToList());
        for (var i = 0; i < Kills; i++)
        {
            await kill.Task.WaitAsync(Eventually.Deadline);
            await host.AbortAsync();
            await host.DisposeAsync();
            kill = NextKill();
            if (i == Kills - 1)
                Volatile.Write(ref killAt, int.MaxValue - HandledMeanwhile);
            host = await StartAsync();
        }

        await using (host)
        {
            await Eventually.TrueAsync($"all of {stream} settles", async () =>
                await CountAsync(done) + await CountAsync(StreamNames.DeadLetters(stream, "billing")) >= Messages);
            var dead = await store.RangeAsync(StreamNames.DeadLetters(stream, "billing"), new());
            Assert.True(dead.Count == 0, string.Join('\n', dead.Select(entry => entry.Fields.ToString())));
            var outputs = await store.RangeAsync(done, new());
            await host.WhenSettledAsync(stream, "billing");
            Assert.Equal(Messages, outputs.Select(entry => entry.Fields.GetText("causationid"u8)).Distinct().Count());
            Assert.Equal(Messages, (await store.GetStreamInfoAsync(done))!.EntriesAdded);
            var count = (await store.GetStateAsync(new(stream, "count")))!.Payload;
            Assert.Equal(new Counter(Messages), JsonSerializer.Deserialize<Counter>(count.Span, JsonSerializerOptions.Web));
        }

        // After so many more handlers began, in the middle of one.
        TaskCompletionSource NextKill()
        {
            Volatile.Write(ref killAt, Volatile.Read(ref handled) + random.Next(1, Messages / Kills / 2));
            return new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        async Task<long> CountAsync(string name) => (await store.GetStreamInfoAsync(name))?.EntriesAdded ?? 0;

        Task<ConsumerHost> StartAsync() => ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            stream, "billing", async (order, context, token) =>
        {
            var number = Interlocked.Increment(ref handled);
            if (number >= Volatile.Read(ref killAt))
                kill.TrySetResult();

            // On a busy machine all messages could be handled before this thread's neighbour comes to kill.
            if (number >= Volatile.Read(ref killAt) + HandledMeanwhile)
                await new TaskCompletionSource().Task.WaitAsync(token);
            var counter = await context.State.GetAsync<Counter>("count", token) ?? new(0);
            context.State.Put("count", new Counter(counter.Value + 1));
            context.Publish(done, new OrderPaid(order.OrderId));
        }, o => (o.Concurrency, o.RetryBaseDelay, o.MaxDeliveries) = (2, TimeSpan.FromMilliseconds(1), 1_000)), store);
    }
}
