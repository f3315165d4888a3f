using System.Collections.Concurrent;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>Acknowledgements, outputs and dead letters that were lost, doubled or out of reach.</summary>
public abstract class SettlementIncidentTests(SharedRedis? redis) : IncidentTests(redis)
{
    public sealed class OnEmbedded() : SettlementIncidentTests(null);

    public sealed class OnRedis(SharedRedis redis) : SettlementIncidentTests(redis);

    /// <summary>The first group that acknowledged an entry deleted it, and the others never saw it.</summary>
    [Fact]
    public async Task Mastra_16309_acknowledgement_of_one_group_takes_nothing_from_others()
    {
        await using var first = await StartDoneAsync();
        await PublishAsync(first, Orders(5));
        await first.ReadAsync(Done, 5);
        await first.WhenSettledAsync(Stream, Group);

        var seen = new ConcurrentQueue<string>();
        await using var late = await StartAsync((order, _) => seen.Enqueue(order.OrderId), o => o.Concurrency = 1, group: "shipping");
        await late.WhenSettledAsync(Stream, "shipping");

        Assert.Equal(Orders(5), seen);
    }

    /// <summary>Where the server lacked a command, nothing was ever acknowledged but for a warning each: everything came again.</summary>
    [Fact]
    public async Task Wolverine_4058_what_was_acknowledged_does_not_come_again()
    {
        var handled = new ConcurrentQueue<string>();
        for (var run = 0; run < 3; run++)
        {
            await using var host = await StartAsync((order, _) => handled.Enqueue(order.OrderId));
            await PublishAsync(host, $"{run}a", $"{run}b", $"{run}c");
            await host.WhenSettledAsync(Stream, Group);
            await host.StopAsync();
        }

        Assert.Equal(["0a", "0b", "0c", "1a", "1b", "1c", "2a", "2b", "2c"], handled.Order());
        Assert.Equal(0, (await Store.PendingSummaryAsync(Stream, Group)).Count);
    }

    /// <summary>Messages published by a handler that then failed were sent nevertheless, and once more by the next attempt.</summary>
    [Fact]
    public async Task MassTransit_5813_outputs_of_a_failed_attempt_never_leave()
    {
        await using var host = await StartAsync((order, context) =>
        {
            context.Publish(Done, new OrderPaid($"{order.OrderId} in attempt {context.Attempt}"));
            if (context.Attempt < 3)
                throw new InvalidOperationException("no money");
        });

        await PublishAsync(host, "o1");
        await host.ReadAsync(Done);
        await host.WhenSettledAsync(Again, Group);

        Assert.Equal(["o1 in attempt 3"], await HandledAsync());
    }

    /// <summary>After a crash between the handler's end and the sending, outputs were lost, or sent twice by the recovery.</summary>
    [Theory]
    [InlineData(FaultyStore.Fault.Before)]
    [InlineData(FaultyStore.Fault.After)]
    public async Task Wolverine_565_crash_while_settling_neither_loses_nor_doubles_an_output(FaultyStore.Fault fault)
    {
        var hasRun = false;
        var settling = new TaskCompletionSource();
        var line = FaultyStore.Wrap(Store, call =>
        {
            if (call != nameof(IStreamStore.CommitAsync) || !Volatile.Read(ref hasRun))
                return FaultyStore.Fault.None;
            settling.TrySetResult();
            return fault;
        });
        await PublishAsync("o1");
        await using (var first = await StartAsync(
            (order, context) =>
            {
                context.Publish(Done, new OrderPaid(order.OrderId));
                Volatile.Write(ref hasRun, true);
            },
            store: line))
        {
            await settling.Task.WaitAsync(Eventually.Deadline);
            await first.AbortAsync();
        }

        await using var second = await StartDoneAsync();
        await second.ReadAsync(Done);
        await second.WhenSettledAsync(Stream, Group);

        Assert.Equal(1, await AddedAsync(Done));
    }

    /// <summary>Two handlers of one saga waited for each other's lock until both failed; or the later one wrote over what the other had done.</summary>
    [Fact]
    public async Task MassTransit_3550_handlers_that_change_one_state_need_no_lock_and_lose_no_change()
    {
        await using var host = await StartAsync(async (order, context, token) =>
        {
            var counter = await context.State.GetAsync<Counter>("count", token) ?? new(0);
            context.State.Put("count", new Counter(counter.Value + 1));
            context.Publish(Done, new OrderPaid(order.OrderId));
        });

        await PublishAsync(host, Orders(50));
        await host.ReadAsync(Done, 50);

        var count = (await Store.GetStateAsync(new(Stream, "count")))!.Payload;
        Assert.Equal(new Counter(50), System.Text.Json.JsonSerializer.Deserialize<Counter>(count.Span, System.Text.Json.JsonSerializerOptions.Web));
        Assert.Equal((50, 0), (await AddedAsync(Done), await AddedAsync(Dead)));
    }

    /// <summary>Pages of dead tasks ended at 9,999: those beyond could neither be seen nor tried again.</summary>
    [Fact]
    public async Task Asynq_803_dead_letters_beyond_9999_are_listed_and_redriven()
    {
        const int Count = 10_050;
        var letter = EntryFields.Create(("type", "order.created"), ("data", "{}"), ("attempt", "5"), ("deadreason", "attempts exhausted"));
        var first = await Store.AppendManyAsync(Dead, [.. Enumerable.Repeat(letter, Count / 2)]);
        var second = await Store.AppendManyAsync(Dead, [.. Enumerable.Repeat(letter, Count / 2)]);

        Assert.Equal([.. first, .. second], (await Letters.ListAsync().ToListAsync()).Select(listed => listed.Id));
        Assert.Equal(RedriveOutcome.Redriven, (await Letters.RedriveAsync(second[^1], new() { By = "ann" })).Outcome);
        var redriven = await Letters.RedriveAllAsync(DeadLetterFilter.All, new() { By = "ann" }).ToListAsync();

        Assert.Equal(Count - 1, redriven.Count(result => result.Outcome == RedriveOutcome.Redriven));
        Assert.Equal((0, Count), ((await Store.GetStreamInfoAsync(Dead))!.Length, await AddedAsync(Again)));
    }
}
