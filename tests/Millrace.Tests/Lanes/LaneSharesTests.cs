using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Hosting;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Lanes;

/// <summary>Overload that lasts, on a virtual clock: every message has waited far longer than any lane may, and weights must hold all the same.</summary>
public sealed class LaneSharesTests
{
    private const int Places = 8; // The default.

    private readonly ManualTimeProvider _time = new();

    [Theory]
    [InlineData(0.5, 10)]
    [InlineData(2, 10)]
    [InlineData(60, 300)]
    public async Task Weights_hold_under_overload_however_slow_the_handlers(double handlerSeconds, int minutes)
    {
        var handlerTime = TimeSpan.FromSeconds(handlerSeconds);
        var rounds = (int)(TimeSpan.FromMinutes(minutes) / handlerTime);
        var begun = new ConcurrentQueue<string>();
        using var begins = new SemaphoreSlim(0);
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddLanes("orders", Lanes).AddConsumer<OrderCreated>(
                "orders", "packing", async (_, context, token) =>
                {
                    var work = Task.Delay(handlerTime, _time, token); // Set before the clock may move on.
                    begun.Enqueue(context.Lane ?? "");
                    begins.Release();
                    await work;
                }, o => (o.Lease, o.HandlerTimeout) = (TimeSpan.FromDays(1), Timeout.InfiniteTimeSpan)),
            time: _time);
        var each = Enumerable.Range(0, Places * rounds * 2 / 3).Select(i => new OrderCreated($"o{i}", i)).ToList();
        foreach (var lane in new[] { null, "express", "bulk" })
            await host.Publisher.PublishManyAsync("orders", each, new() { Lane = lane });
        var workers = host.Host.Services.GetRequiredService<MillraceService>().Workers;

        for (var round = 0; round < rounds; round++)
        {
            for (var i = 0; i < Places; i++)
                Assert.True(await begins.WaitAsync(Eventually.Deadline));

            // Handlers take their time for real: until then every lane was read again, and has messages in line.
            await Eventually.TrueAsync("all lanes wait", () => new(workers.All(
                worker => worker.Plan.Lane!.Budget.CountWaiting(worker.Plan.Lane.Index) > 2 * Places)));
            _time.Advance(handlerTime);
        }

        // Without those that began before there was anything to choose from.
        var shares = begun.Skip(Places).Take(Places * (rounds - 1)).CountBy(lane => lane).ToDictionary();
        Assert.All(new[] { ("express", 8), ("", 4), ("bulk", 1) }, lane =>
            Assert.InRange(shares[lane.Item1] * 13.0 / (lane.Item2 * Places * (rounds - 1)), 0.9, 1.1));
    }

    private static void Lanes(LaneOptions lanes)
    {
        lanes.Weight = 4;
        lanes.Add("express", 8).Add("bulk", 1);
    }
}
