using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Breaker;

public sealed class RedisBreakerTests(SharedRedis redis) : BreakerContract, IAsyncLifetime
{
    private RedisStreamStore? _store;

    protected override IStreamStore Store => _store!;

    public async ValueTask InitializeAsync() => _store = new(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));

    public ValueTask DisposeAsync() => Store.DisposeAsync();

    /// <summary>Another program wrote it; no copy of it can be put back.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task Message_too_large_for_a_copy_waits_for_the_end_of_the_outage(int concurrency)
    {
        var (isDown, isTried) = (true, false);
        await using var host = await StartAsync(Fails, o => (o.Concurrency, o.MaxAttempts) = (concurrency, 100));
        var ids = await host.Publisher.PublishManyAsync(Stream, Enumerable.Range(0, 8).Select(i => new OrderCreated($"o{i}", i)).ToList());
        await WhenAsync(host, WorkerState.Tripped);
        List<string> large = ["XADD", Stream, "*", "type", "order.created", "schemaversion", "2", "data", """{"orderId":"large","total":1}"""];
        for (var i = 0; i < 2_000; i++)
            large.AddRange([$"f{i}", ""]);
        await _store!.ExecuteAsync(large);

        await Eventually.TrueAsync("it was tried", () => ValueTask.FromResult(Volatile.Read(ref isTried)));
        await WhenAsync(host, WorkerState.Tripped);
        Volatile.Write(ref isDown, false);

        await Eventually.TrueAsync("all messages are handled", () => ValueTask.FromResult(Handled == ids.Count + 1));
        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.DeadLetters(Stream, Group)));
        await host.WhenSettledAsync(Stream, Group);

        bool Fails(OrderCreated order)
        {
            if (order.OrderId == "large")
                Volatile.Write(ref isTried, true);
            return Volatile.Read(ref isDown);
        }
    }
}
