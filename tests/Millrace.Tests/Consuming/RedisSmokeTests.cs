using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>The same consumers on a real Redis: a message that fails once, with output and state, and one that never succeeds.</summary>
public sealed class RedisSmokeTests(SharedRedis redis)
{
    [Fact]
    public async Task Messages_are_retried_settled_and_dead_lettered_on_redis()
    {
        var name = $"smoke-{Guid.NewGuid():N}";
        await using var store = new RedisStreamStore(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            name, "billing", async (order, context, token) =>
        {
            var counter = await context.State.GetAsync<Counter>("count", token) ?? new(0);
            context.State.Put("count", new Counter(counter.Value + 1));
            if (order.OrderId == "bad" || context.Attempt == 1)
                throw new InvalidOperationException("not yet");
            context.Publish($"{name}-done", new OrderPaid(order.OrderId));
        }, o => (o.RetryBaseDelay, o.MaxAttempts) = (TimeSpan.FromMilliseconds(5), 3)), store);

        await host.Publisher.PublishManyAsync<OrderCreated>(name, [new("good", 1), new("bad", 2)]);
        var done = await host.ReadAsync($"{name}-done");
        var dead = await host.ReadAsync(StreamNames.DeadLetters(name, "billing"));

        Assert.Equal("{\"orderId\":\"good\"}", done[0].Fields.GetText("data"u8));
        Assert.Equal(DeadLetterReasons.AttemptsExhausted, dead[0].Fields.GetText("deadreason"u8));
        await host.WhenSettledAsync(name, "billing");
        await host.StopAsync();
        Assert.Equal(0, (await store.GetStreamInfoAsync(StreamNames.Again(name, "billing")))!.Length);
    }
}
