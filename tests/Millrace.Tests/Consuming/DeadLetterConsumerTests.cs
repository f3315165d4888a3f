using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>
/// Dead letters are a stream like any other: a group that reads them counts its own attempts and deliveries, not those of the group that
/// gave up.
/// </summary>
public sealed class DeadLetterConsumerTests
{
    private static readonly string Dead = StreamNames.DeadLetters("orders", "billing");

    private readonly ConcurrentQueue<string> _seen = new();

    [Fact]
    public async Task Letter_of_exhausted_attempts_has_all_attempts_before_it()
    {
        await using var host = await StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => throw new InvalidOperationException("no money"), Twice),
            FailOnce);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));

        Assert.Equal(["1 attempts exhausted", "2 attempts exhausted"], await SeenAsync(host));
    }

    [Fact]
    public async Task Letter_of_too_many_deliveries_is_handled()
    {
        await using var store = new EmbeddedStreamStore(new());
        await DeliverTwiceAsync(store);
        await using var host = await StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => Task.CompletedTask, Twice), FailOnce, store);

        Assert.Equal(["1 delivery limit", "2 delivery limit"], await SeenAsync(host));
    }

    [Fact]
    public async Task Letter_that_was_handed_back_has_all_attempts_before_it()
    {
        await using var store = new EmbeddedStreamStore(new());
        var started = new TaskCompletionSource();
        await using (var first = await StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => throw new InvalidOperationException("no money"), Twice),
            async (_, _, token) =>
            {
                started.TrySetResult();
                await Task.Delay(Timeout.Infinite, token);
            },
            store))
        {
            await first.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
            await started.Task.WaitAsync(Eventually.Deadline);
            await first.StopAsync();
        }

        await using var host = await StartAsync(_ => { }, FailOnce, store);

        Assert.Equal(["1 attempts exhausted", "2 attempts exhausted"], await SeenAsync(host));
    }

    [Fact]
    public async Task Letter_with_a_history_of_another_program_that_is_no_text_is_retried()
    {
        await using var host = await StartAsync(_ => { }, FailOnce);

        await host.Store.AppendAsync(Dead, EntryFields.Create(
            ("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o1\"}"),
            ("errors", "[{\"error\":\"\\ud800\"}]"), ("deadreason", "theirs")));

        Assert.Equal(["1 theirs", "2 theirs"], await SeenAsync(host));
    }

    [Fact]
    public async Task Letter_handled_by_a_group_of_the_same_name_publishes_messages_of_their_own()
    {
        await using var host = await ConsumerHost.StartAsync(m => m
            .AddConsumer<OrderCreated>("orders", "billing", async (order, context, token) =>
            {
                context.Publish("done", new OrderPaid(order.OrderId));
                await context.RejectAsync("no money", token);
            })
            .AddConsumer<OrderCreated>(Dead, "billing", (order, context, _) =>
            {
                context.Publish("done", new OrderPaid(order.OrderId));
                return Task.CompletedTask;
            }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));

        var done = await host.ReadAsync("done", 2);
        Assert.NotEqual(done[0].Fields.GetText("id"u8), done[1].Fields.GetText("id"u8));
    }

    private static void Twice(ConsumerOptions options) =>
        (options.MaxAttempts, options.MaxDeliveries, options.RetryBaseDelay) = (2, 2, TimeSpan.Zero);

    private Task FailOnce(OrderCreated order, MessageContext context, CancellationToken cancellationToken)
    {
        _seen.Enqueue($"{context.Attempt} {context.Headers.DeadReason}");
        if (_seen.Count == 1)
            throw new InvalidOperationException("once");
        context.Publish("done", new OrderPaid(order.OrderId));
        return Task.CompletedTask;
    }

    private async Task<IEnumerable<string>> SeenAsync(ConsumerHost host)
    {
        await host.ReadAsync("done");
        return _seen;
    }

    private static async Task DeliverTwiceAsync(IStreamStore store)
    {
        await store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        var id = await store.AppendAsync("orders", EntryFields.Create(
            ("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o1\"}")));
        await store.ReadGroupAsync(new() { Group = "billing", Consumer = "local", Streams = ["orders"] });
        await store.ClaimAsync("orders", "billing", new() { Consumer = "local", Ids = [id], MinIdleTime = TimeSpan.Zero });
    }

    private static Task<ConsumerHost> StartAsync(
        Action<MillraceBuilder> configure, Func<OrderCreated, MessageContext, CancellationToken, Task> alert, IStreamStore? store = null) =>
        ConsumerHost.StartAsync(
            m =>
            {
                configure(m.AddMessage<OrderPaid>().Configure(o => o.DrainTimeout = TimeSpan.Zero));
                m.AddConsumer(Dead, "alerts", alert, Twice);
            },
            store);
}
