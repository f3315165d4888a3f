using System.Collections.Concurrent;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>
/// A host whose Redis goes away and comes back: publishers are told within their limits, and consumers go on without a restart
/// (spring-data-redis#2833 and #3363, faststream#2611, asynq#1051, KurrentDB#1324: containers that stopped consuming for good;
/// redisson#3076: messages left pending).
/// </summary>
public sealed class StoreAwayTests
{
    public enum Fault
    {
        Killed,
        Stopped,
        BlackHole,
        Cut,
    }

    [Theory]
    [InlineData(Fault.Killed)]
    [InlineData(Fault.Stopped)]
    [InlineData(Fault.BlackHole)]
    public async Task Publish_fails_clearly_and_consumers_resume_without_a_restart(Fault fault)
    {
        await using var server = await StartServerAsync();
        await using var proxy = CuttingProxy.Start(server.Port);
        await using var direct = StoreAt(server.Port);
        await using var store = StoreAt(proxy.Port);
        var handled = new ConcurrentQueue<string>();
        await using var host = await HostAsync(store, handled);
        await host.Publisher.PublishAsync("orders", new OrderCreated("before", 1));
        await host.WhenSettledAsync("orders", "billing");

        await BeginAsync(fault, server, proxy);
        await PublishUntilUnavailableAsync(host);

        // The reader of the group has its own line and its own limits: it has found out when new lines are asked for again and again.
        var accepted = proxy.AcceptedCount;
        await Eventually.TrueAsync("consumers try to come back", () => new(proxy.AcceptedCount >= accepted + 3));
        if (fault == Fault.BlackHole)
            await AppendAsync(direct, "during");
        await EndAsync(fault, server, proxy);
        await PublishUntilTakenAsync(host, "after");

        await Eventually.TrueAsync("what was published is handled", () =>
            new(handled.Contains("after") && (fault != Fault.BlackHole || handled.Contains("during"))));
        await host.WhenSettledAsync("orders", "billing");
    }

    [Fact]
    public async Task Consumers_resume_after_every_line_was_cut_again_and_again()
    {
        await using var server = await StartServerAsync();
        await using var proxy = CuttingProxy.Start(server.Port);
        await using var direct = StoreAt(server.Port);
        await using var store = StoreAt(proxy.Port);
        var handled = new ConcurrentQueue<string>();
        await using var host = await HostAsync(store, handled);

        for (var i = 0; i < 20; i++)
        {
            await BeginAsync(Fault.Cut, server, proxy);
            await AppendAsync(direct, $"o{i}");
        }

        await Eventually.TrueAsync("everything is handled", () => new(handled.Distinct().Count() == 20));
        await host.WhenSettledAsync("orders", "billing");
    }

    private static async Task BeginAsync(Fault fault, RedisServer server, CuttingProxy proxy)
    {
        switch (fault)
        {
            case Fault.Killed:
                await server.KillAsync();
                break;
            case Fault.Stopped:
                server.Stop();
                break;
            case Fault.BlackHole:
                proxy.BlackHole();
                break;
            default:
                proxy.Cut();
                break;
        }
    }

    private static async Task EndAsync(Fault fault, RedisServer server, CuttingProxy proxy)
    {
        switch (fault)
        {
            case Fault.Killed:
                await server.StartAgainAsync();
                break;
            case Fault.Stopped:
                server.Continue();
                break;
            default:
                proxy.Restore();
                break;
        }
    }

    /// <summary>The first may have been sent; then the line is known to be dead, and nothing is sent any more.</summary>
    private static async Task PublishUntilUnavailableAsync(ConsumerHost host)
    {
        using var deadline = new CancellationTokenSource(Eventually.Deadline);
        while (true)
        {
            var failure = await Assert.ThrowsAsync<StreamException>(
                () => host.Publisher.PublishAsync("orders", new OrderCreated("lost", 1), null, deadline.Token).AsTask());
            Assert.True(failure.IsTransient);
            if (failure.Code == StreamErrorCode.Unavailable)
                return;
            Assert.Equal(StreamErrorCode.OutcomeUnknown, failure.Code);
        }
    }

    private static Task PublishUntilTakenAsync(ConsumerHost host, string order) =>
        Eventually.TrueAsync("the publisher is served again", async () =>
        {
            try
            {
                await host.Publisher.PublishAsync("orders", new OrderCreated(order, 1));
                return true;
            }
            catch (StreamException exception) when (exception.IsTransient)
            {
                return false;
            }
        });

    /// <summary>As the publisher of another process, whose line is whole.</summary>
    private static async Task AppendAsync(RedisStreamStore direct, string order)
    {
        await using var publisher = await ConsumerHost.StartAsync(_ => { }, direct);
        await publisher.Publisher.PublishAsync("orders", new OrderCreated(order, 1));
    }

    private static Task<ConsumerHost> HostAsync(RedisStreamStore store, ConcurrentQueue<string> handled) => ConsumerHost.StartAsync(
        m => m.AddConsumer<OrderCreated>(
            "orders",
            "billing",
            (order, _, _) =>
            {
                handled.Enqueue(order.OrderId);
                return Task.CompletedTask;
            },
            options => options.Lease = TimeSpan.FromSeconds(2)),
        store);

    // What was acknowledged is still there after it was killed.
    private static Task<RedisServer> StartServerAsync() => RedisServer.StartAsync("--appendonly", "yes", "--appendfsync", "always");

    private static RedisStreamStore StoreAt(int port) => new(new()
    {
        Host = "127.0.0.1",
        Port = port,
        ConnectTimeout = TimeSpan.FromSeconds(1),
        CommandTimeout = TimeSpan.FromSeconds(1),
        ConnectAttempts = 2,
        ReconnectDelay = TimeSpan.FromMilliseconds(10),
        MaxReconnectDelay = TimeSpan.FromMilliseconds(100),
        KeepAlive = TimeSpan.FromSeconds(1),
    });
}
