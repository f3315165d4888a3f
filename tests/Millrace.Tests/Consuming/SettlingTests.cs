using System.Collections.Concurrent;
using System.Text;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>What <see cref="ConsumerOptions.OnSettling"/> adds is part of the commit that settles.</summary>
public sealed class SettlingTests
{
    private static readonly StateKey Key = new("orders", "settled");

    private readonly ConcurrentQueue<(SettlingOutcome Outcome, int Run, string? Reason, string? Error, bool HasDelay, object? Tag)> _asked = new();

    [Fact]
    public async Task Every_way_a_message_ends_asks_once_and_writes_with_the_end()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders",
            "billing",
            (_, context, _) =>
            {
                context.Tag = context.Attempt;
                context.Publish("out", new OrderPaid("o"));
                return context.Attempt < 3 ? throw new InvalidOperationException("no") : throw new MessageRejectedException("never");
            },
            options => (options.RetryBaseDelay, options.OnSettling) = (TimeSpan.FromMilliseconds(1), SettleAsync)));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o", 1));
        await host.ReadAsync(StreamNames.DeadLetters("orders", "billing"));

        Assert.Equal(
            [
                (SettlingOutcome.Retried, 1, null, "no", true, (object)1),
                (SettlingOutcome.Retried, 1, null, "no", true, 2),
                (SettlingOutcome.DeadLettered, 1, "never", null, false, 3),
            ],
            _asked);
        Assert.Equal("DeadLettered", await ReadAsync(host));
        Assert.Null(await host.Store.GetStreamInfoAsync("out"));
    }

    [Fact]
    public async Task Acknowledgement_is_a_commit_with_what_the_handler_and_the_callback_add()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", (_, _, _) => Task.CompletedTask, options => options.OnSettling = SettleAsync));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o", 1));
        await host.WhenSettledAsync("orders", "billing");

        Assert.Equal([(SettlingOutcome.Acknowledged, 1, null, null, false, null)], _asked);
        Assert.Equal("Acknowledged", await ReadAsync(host));
    }

    [Fact]
    public async Task What_is_required_and_does_not_hold_asks_again_and_not_the_handler()
    {
        var handled = 0;
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders",
            "billing",
            (_, context, _) =>
            {
                handled++;
                context.Publish("out", new OrderPaid("o"));
                return Task.CompletedTask;
            },
            options => options.OnSettling = (settling, _) =>
            {
                if (settling.Run < 3)
                    settling.Require(CommitCondition.NoStream("orders"));
                return SettleAsync(settling, default);
            }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o", 1));
        await host.WhenSettledAsync("orders", "billing");

        Assert.Equal([1, 2, 3], _asked.Select(one => one.Run));
        Assert.Equal(1, handled);
        Assert.Equal(1, (await host.Store.GetStreamInfoAsync("out"))!.Length);
    }

    /// <summary>25 conflicts used to be a failure of the handler, which ran again for them.</summary>
    [Fact]
    public async Task Handler_is_not_run_again_for_what_changes_again_and_again_while_it_settles()
    {
        var handled = 0;
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders",
            "billing",
            (_, _, _) =>
            {
                handled++;
                return Task.CompletedTask;
            },
            options => options.OnSettling = (settling, _) =>
            {
                if (settling.Run < 40)
                    settling.Require(CommitCondition.NoStream("orders"));
                return SettleAsync(settling, default);
            }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o", 1));
        await host.WhenSettledAsync("orders", "billing");

        Assert.Equal((1, 40, SettlingOutcome.Acknowledged), (handled, _asked.Count, _asked.Last().Outcome));
    }

    [Fact]
    public async Task Callback_that_throws_counts_as_a_failure_of_the_handler()
    {
        var handled = 0;
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders",
            "billing",
            (_, _, _) =>
            {
                handled++;
                return Task.CompletedTask;
            },
            options =>
            {
                options.RetryBaseDelay = TimeSpan.Zero;
                options.OnSettling = (settling, cancellationToken) => handled == 1 && settling.Outcome == SettlingOutcome.Acknowledged
                    ? throw new InvalidOperationException("cannot say")
                    : SettleAsync(settling, cancellationToken);
            }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o", 1));
        await Eventually.TrueAsync("it is handled again", () => new(_asked.Any(one => one.Outcome == SettlingOutcome.Acknowledged)));

        Assert.Equal([SettlingOutcome.Retried, SettlingOutcome.Acknowledged], _asked.Select(one => one.Outcome));
        Assert.Equal(2, handled);
    }

    [Fact]
    public async Task Message_that_no_handler_can_read_is_told_too()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", (_, _, _) => Task.CompletedTask, options => options.OnSettling = SettleAsync));

        await host.Store.AppendAsync("orders", EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{")));
        await host.ReadAsync(StreamNames.DeadLetters("orders", "billing"));

        Assert.Equal((SettlingOutcome.DeadLettered, DeadLetterReasons.UndecodableData), Assert.Single(_asked.Select(one => (one.Outcome, one.Reason))));
    }

    private ValueTask SettleAsync(Settling settling, CancellationToken cancellationToken)
    {
        _asked.Enqueue((settling.Outcome, settling.Run, settling.Reason, settling.Error?.Message, settling.Delay is not null, settling.Message.Tag));
        settling.Enlist(new CommitChange.PutState(Key, Encoding.UTF8.GetBytes(settling.Outcome.ToString())));
        return default;
    }

    private static async Task<string> ReadAsync(ConsumerHost host) => Encoding.UTF8.GetString((await host.Store.GetStateAsync(Key))!.Payload.Span);
}
