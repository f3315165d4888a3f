using System.Collections.Concurrent;
using System.Diagnostics;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Limits;

/// <summary>A limit over the processes of a group, the same on every store.</summary>
public abstract class RateLimitContract
{
    private const string Group = "billing";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";

    protected abstract IStreamStore Store { get; }

    [Fact]
    public async Task Two_processes_together_stay_within_the_limit_and_handle_everything()
    {
        // 20 in 500 ms: windows of two tokens and 50 ms. 40 messages need 20 windows; of those the first and the last are not whole.
        const int messages = 40;
        var watch = new Stopwatch();
        var handled = new ConcurrentDictionary<string, string>();
        await using var first = await StartAsync("first", handled);
        await using var second = await StartAsync("second", handled);

        watch.Start();
        await first.Publisher.PublishManyAsync(_stream, Enumerable.Range(0, messages).Select(i => new OrderCreated($"o{i}", i)).ToList());
        await Eventually.TrueAsync("all is handled", () => ValueTask.FromResult(handled.Count == messages));

        Assert.InRange(watch.Elapsed, TimeSpan.FromMilliseconds(18 * 50), Eventually.Deadline);
        await first.WhenSettledAsync(_stream, Group);
    }

    [Fact]
    public async Task Consumer_that_waits_for_its_turn_stops_at_once_and_hands_back()
    {
        var handled = new ConcurrentDictionary<string, string>();
        await using var host = await StartAsync("first", handled, o => (o.RateLimit, o.RatePeriod) = (1, TimeSpan.FromDays(1)));
        await host.Publisher.PublishManyAsync(_stream, [new OrderCreated("o1", 1), new OrderCreated("o2", 1), new OrderCreated("o3", 1)]);
        await Eventually.TrueAsync("one is handled", () => ValueTask.FromResult(handled.Count == 1));

        await host.StopAsync();

        Assert.Single(handled);
        Assert.Equal(0, (await Store.PendingSummaryAsync(_stream, Group)).Count);
    }

    private Task<ConsumerHost> StartAsync(
        string instance, ConcurrentDictionary<string, string> handled, Action<ConsumerOptions>? configure = null) => ConsumerHost.StartAsync(
        m => m.AddConsumer<OrderCreated>(
            _stream,
            Group,
            (order, _, _) =>
            {
                handled.TryAdd(order.OrderId, instance);
                return Task.CompletedTask;
            },
            o =>
            {
                (o.RateLimit, o.RatePeriod, o.Prefetch) = (20, TimeSpan.FromMilliseconds(500), 8);
                configure?.Invoke(o);
            }),
        Store,
        instance: instance);
}
