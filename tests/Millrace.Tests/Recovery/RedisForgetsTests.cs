using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Recovery;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Recovery;

/// <summary>A real Redis that loses everything at once, the notes on where groups stand included.</summary>
public sealed class RedisForgetsTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Consumers_go_on_after_everything_was_lost_and_tell_what_is_missing(bool byRestart)
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        var handled = new ConcurrentQueue<string>();
        var losses = new ConcurrentQueue<StreamLossEventArgs>();
        var end = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            millrace => millrace.AddConsumer<OrderCreated>("orders", "billing", async (order, _, token) =>
            {
                if (order.OrderId == "o2")
                    await end.Task.WaitAsync(token);
                handled.Enqueue(order.OrderId);
            }),
            store);
        host.Host.Services.GetRequiredService<StreamLosses>().Detected += (_, loss) => losses.Enqueue(loss);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var lost = await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 2));

        // A note of the moment before the second message was delivered says the same of numbers, and would make the loss a longer one.
        await Eventually.TrueAsync("where the group stands is noted", async () =>
            GroupLedger.Read(await store.GetStateAsync(new("orders", "millrace/ledger/billing"))) is { Unsettled: 1 } noted &&
            (noted.SettledThrough, noted.StreamLastId) == (lost.Previous(), lost));

        if (byRestart)
        {
            await server.KillAsync();
            await server.StartAgainAsync();
        }
        else
        {
            await server.CliAsync("FLUSHALL");
        }

        await Eventually.TrueAsync("publishing works again", () => TryPublishAsync(host, "o3"));
        await Eventually.TrueAsync("the new message is handled", () => ValueTask.FromResult(handled.Contains("o3")));
        await Eventually.TrueAsync("the loss is told", () => ValueTask.FromResult(!losses.IsEmpty));

        var loss = Assert.Single(losses);
        Assert.Equal((StreamLossKind.EntriesVanished, lost.Previous(), lost), (loss.Kind, loss.MissingAfter, loss.MissingThrough));
        Assert.Equal((1L, 0L), (loss.MissingCount, loss.MissingRetries));
        Assert.Single(handled, order => order == "o1");
        end.SetResult();
    }

    private static async ValueTask<bool> TryPublishAsync(ConsumerHost host, string order)
    {
        try
        {
            await host.Publisher.PublishAsync("orders", new OrderCreated(order, 3));
            return true;
        }
        catch (StreamException exception) when (exception.IsTransient)
        {
            return false;
        }
    }
}
