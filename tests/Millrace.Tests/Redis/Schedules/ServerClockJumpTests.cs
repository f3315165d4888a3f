using System.Collections.Concurrent;
using Millrace.Redis;
using Millrace.Tests.Chaos;
using Millrace.Tests.Clients;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Schedules;

/// <summary>The wall clock of a server is set while messages wait for their time.</summary>
public sealed class ServerClockJumpTests
{
    private const int Count = 20;

    private readonly ConcurrentQueue<string> _handled = [];

    [Theory]
    [InlineData(ServerOfKind.Redis)]
    [InlineData(ServerOfKind.Millrace)]
    public async Task Clock_of_a_server_that_jumps_shifts_what_is_scheduled_and_neither_loses_nor_doubles_it(string name)
    {
        await using var server = await ChaosServer.StartAsync(name);
        await using var store = new RedisStreamStore(RedisOptions.Parse($"127.0.0.1:{server.Port}"));
        await using var host = await StartAsync(store);

        await ScheduleAsync(host, "hour", TimeSpan.FromHours(1));
        server.Jump(TimeSpan.FromHours(2));
        await HandledAsync(Count);

        await ScheduleAsync(host, "soon", TimeSpan.FromMilliseconds(200));
        server.Jump(TimeSpan.FromSeconds(-2));
        await HandledAsync(2 * Count);

        await ScheduleAsync(host, "later", TimeSpan.FromHours(1));
        server.Jump(TimeSpan.FromSeconds(-2));
        server.Jump(TimeSpan.FromHours(1) + TimeSpan.FromSeconds(3));
        await HandledAsync(3 * Count);

        await host.WhenSettledAsync("orders", "billing");
        Assert.Equal(3 * Count, _handled.Count);
        Assert.Equal(3 * Count, _handled.Distinct().Count());
        Assert.Equal(0, (await store.GetScheduleAsync("orders")).Count);
    }

    /// <summary>On Redis the end of a window is a time of day, which is then far away.</summary>
    [Theory]
    [InlineData(ServerOfKind.Redis)]
    [InlineData(ServerOfKind.Millrace)]
    public async Task Clock_of_a_server_that_is_set_back_holds_up_no_group_with_a_rate_limit(string name)
    {
        await using var server = await ChaosServer.StartAsync(name);
        await using var store = new RedisStreamStore(RedisOptions.Parse($"127.0.0.1:{server.Port}"));
        await using var host = await StartAsync(store, static options => (options.RateLimit, options.RatePeriod) = (Count, TimeSpan.FromSeconds(1)));
        await host.Publisher.PublishManyAsync<OrderCreated>("orders", [.. Enumerable.Range(0, 5 * Count).Select(i => new OrderCreated($"o{i}", i))]);

        // Now and then there is no window just then, and nothing would be held up.
        for (var round = 1; round <= 4; round++)
        {
            await HandledAsync(round * Count);
            server.Jump(TimeSpan.FromHours(-1));
        }

        await HandledAsync(5 * Count);
        await host.WhenSettledAsync("orders", "billing");
        Assert.Equal(5 * Count, _handled.Distinct().Count());
    }

    private Task<ConsumerHost> StartAsync(RedisStreamStore store, Action<ConsumerOptions>? configure = null) => ConsumerHost.StartAsync(
        millrace => millrace.AddConsumer<OrderCreated>("orders", "billing", (order, _, _) =>
        {
            _handled.Enqueue(order.OrderId);
            return Task.CompletedTask;
        }, configure),
        store);

    private static async Task ScheduleAsync(ConsumerHost host, string name, TimeSpan delay)
    {
        for (var i = 0; i < Count; i++)
            await host.Publisher.PublishAsync("orders", new OrderCreated($"{name}{i}", i), new() { Delay = delay });
    }

    private Task HandledAsync(int count) =>
        Eventually.TrueAsync($"{count} messages are handled", () => ValueTask.FromResult(_handled.Count >= count));
}
