using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

public sealed class SettlementTests
{
    [Fact]
    public async Task Handled_message_is_acknowledged()
    {
        var seen = new TaskCompletionSource<(OrderCreated Order, MessageContext Context)>();
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (order, context, _) =>
        {
            seen.SetResult((order, context));
            return Task.CompletedTask;
        }));

        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 12.5m), new() { Subject = "o1" });

        var (order, context) = await seen.Task.WaitAsync(Eventually.Deadline);
        Assert.Equal(new("o1", 12.5m), order);
        Assert.Equal((id, 1, 1L), (context.EntryId, context.Attempt, context.DeliveryCount));
        Assert.Equal(("orders", "billing", "local"), (context.Stream, context.Group, context.Consumer));
        Assert.Equal(("order.created", 2, "o1"), (context.Type, context.Version, context.Subject));
        Assert.Equal(context.MessageId, context.CorrelationId);
        await host.WhenSettledAsync("orders", "billing");
    }

    [Fact]
    public async Task Failing_message_is_retried_for_this_group_only_and_keeps_its_identity()
    {
        var seen = new BlockingCollection<(string Id, int Attempt, EntryId Source)>();
        var others = 0;
        await using var host = await ConsumerHost.StartAsync(m => m
            .AddConsumer<OrderCreated>("orders", "billing", (_, context, _) =>
            {
                seen.Add((context.MessageId, context.Attempt, context.Headers.SourceId));
                if (context.Attempt < 3)
                    throw new InvalidOperationException($"attempt {context.Attempt}");
                context.Publish("done", new OrderPaid("o1"));
                return Task.CompletedTask;
            }, o => o.RetryBaseDelay = TimeSpan.FromMilliseconds(1))
            .AddConsumer<OrderCreated>("orders", "other", (_, _, _) =>
            {
                Interlocked.Increment(ref others);
                return Task.CompletedTask;
            }));

        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1), new() { MessageId = "m1" });
        var done = await host.ReadAsync("done");

        Assert.Equal([("m1", 1, id), ("m1", 2, id), ("m1", 3, id)], seen);
        Assert.Equal("m1", done[0].Fields.GetText("causationid"u8));
        await host.WhenSettledAsync("orders", "other");
        Assert.Equal(1, others);

        // The private stream keeps nothing that is done.
        Assert.Equal(0, (await host.Store.GetStreamInfoAsync(StreamNames.Again("orders", "billing")))!.Length);
    }

    [Fact]
    public async Task Exhausted_attempts_end_in_the_dead_letters_with_reason_and_history()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders",
            "billing",
            (_, context, _) => throw new InvalidOperationException($"no money {context.Attempt} {new string('x', 3000)}"),
            o => (o.RetryBaseDelay, o.MaxAttempts) = (TimeSpan.FromMilliseconds(1), 7)));

        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1), new() { MessageId = "m1" });
        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;

        Assert.Equal(DeadLetterReasons.AttemptsExhausted, dead.GetText("deadreason"u8));
        Assert.StartsWith("InvalidOperationException: no money 7", dead.GetText("deaderror"u8));
        Assert.Equal("billing", dead.GetText("deadgroup"u8));
        Assert.Equal("7", dead.GetText("attempt"u8));
        Assert.Equal(id.ToString(), dead.GetText("sourceid"u8));
        Assert.Equal("m1", dead.GetText("id"u8));
        Assert.Equal("{\"orderId\":\"o1\",\"total\":1}", dead.GetText("data"u8));
        var history = JsonDocument.Parse(dead.GetText("errors"u8)!).RootElement.EnumerateArray().ToList();
        Assert.Equal([3, 4, 5, 6, 7], history.Select(error => error.GetProperty("attempt").GetInt32()));
        Assert.All(history, error => Assert.Equal(1024, error.GetProperty("error").GetString()!.Length));
        Assert.Equal(0, (await host.Store.PendingSummaryAsync("orders", "billing")).Count);
    }

    [Fact]
    public async Task Output_that_is_scheduled_waits_for_its_time_and_carries_what_every_output_does()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (_, context, _) =>
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => context.Schedule("reminders", new OrderPaid("o1"), TimeSpan.FromSeconds(-1)));
            context.Schedule("reminders", new OrderPaid("o1"), TimeSpan.FromDays(1), new() { Subject = "o1", Delay = TimeSpan.Zero });
            context.Schedule("done", new OrderPaid("o1"), TimeSpan.Zero);
            return Task.CompletedTask;
        }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1), new() { MessageId = "m1" });
        var done = await host.ReadAsync("done");

        Assert.Equal("m1", done[0].Fields.GetText("causationid"u8));
        var waiting = await host.Store.GetScheduleAsync("reminders");
        Assert.Equal(1, waiting.Count);
        Assert.InRange(waiting.NextIn!.Value, TimeSpan.FromHours(23), TimeSpan.FromDays(1));
    }

    [Fact]
    public async Task Commit_schedules_a_message()
    {
        await using var host = await ConsumerHost.StartAsync(static _ => { });
        var commit = host.Publisher.NewCommit("orders");
        commit.Schedule("orders", new OrderPaid("o1"), TimeSpan.FromDays(1));

        Assert.True((await commit.CommitAsync()).IsApplied);

        Assert.Equal(1, (await host.Store.GetScheduleAsync("orders")).Count);
        Assert.Throws<InvalidOperationException>(() => commit.Schedule("orders", new OrderPaid("o2"), TimeSpan.Zero));
    }

    [Fact]
    public async Task Rejected_message_is_dead_at_once_and_its_outputs_stay_behind()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (_, context, _) =>
        {
            context.Publish("done", new OrderPaid("o1"));
            throw new MessageRejectedException("no such customer");
        }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;

        Assert.Equal("no such customer", dead.GetText("deadreason"u8));
        Assert.Null(await host.Store.GetStreamInfoAsync("done"));
    }

    [Fact]
    public async Task Commit_that_depends_on_nothing_takes_no_handlers_place()
    {
        const int messages = 5;
        var begun = 0;
        await using var store = new EmbeddedStreamStore(new());
        var line = FaultyStore.Wrap(store, call => call == nameof(IStreamStore.CommitAsync) && Volatile.Read(ref begun) is > 0 and < messages
            ? FaultyStore.Fault.Before
            : FaultyStore.Fault.None);
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (order, context, _) =>
        {
            Interlocked.Increment(ref begun);
            context.Publish("done", new OrderPaid(order.OrderId));
            context.State.Put(order.OrderId, order);
            return Task.CompletedTask;
        }, o => o.Concurrency = 2), line);

        // Not one commit gets through before every handler has run.
        await host.Publisher.PublishManyAsync("orders", Enumerable.Range(0, messages).Select(i => new OrderCreated($"o{i}", i)).ToList());

        await host.ReadAsync("done", messages);
        await host.WhenSettledAsync("orders", "billing");
        Assert.Equal((messages, messages), (begun, (await store.GetStreamInfoAsync("done"))!.Length));
        await host.StopAsync();
    }

    [Fact]
    public async Task One_handler_at_a_time_finds_the_effects_of_the_message_before()
    {
        List<long> found = [];
        await using var store = new EmbeddedStreamStore(new());
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, _) =>
        {
            found.Add((await store.GetStreamInfoAsync("done"))?.Length ?? 0);
            context.Publish("done", new OrderPaid(order.OrderId));
        }, o => o.Concurrency = 1), store);

        await host.Publisher.PublishManyAsync("orders", Enumerable.Range(0, 20).Select(i => new OrderCreated($"o{i}", i)).ToList());

        await host.ReadAsync("done", 20);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (long)i), found);
    }

    [Fact]
    public async Task Outputs_and_state_leave_with_the_acknowledgement()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", async (order, context, token) =>
        {
            var counter = await context.State.GetAsync<Counter>("count", token);
            context.State.Put("count", new Counter((counter?.Value ?? 0) + 1));
            context.Publish("done", new OrderPaid(order.OrderId));
            context.Publish("done", new OrderPaid(order.OrderId));
        }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1), new() { MessageId = "m1", CorrelationId = "c1" });
        var done = await host.ReadAsync("done", 2);

        Assert.All(done, entry => Assert.Equal("m1", entry.Fields.GetText("causationid"u8)));
        Assert.All(done, entry => Assert.Equal("c1", entry.Fields.GetText("correlationid"u8)));
        Assert.Equal(MessageContext.OutputId("m1", "orders", "billing", 0).ToString(), done[0].Fields.GetText("id"u8));
        Assert.Equal(MessageContext.OutputId("m1", "orders", "billing", 1).ToString(), done[1].Fields.GetText("id"u8));
        Assert.Equal(8, MessageContext.OutputId("m1", "orders", "billing", 0).Version);
        Assert.Equal("{\"value\":1}", Encoding.UTF8.GetString((await host.Store.GetStateAsync(new("orders", "count")))!.Payload.Span));
        Assert.Equal(0, (await host.Store.PendingSummaryAsync("orders", "billing")).Count);
    }

    /// <summary>Attempts, errors and cause need room, too: a message at the limit of an entry failed for ever.</summary>
    [Fact]
    public async Task Largest_message_that_can_be_published_fails_and_ends_in_the_dead_letters()
    {
        const int attempts = 20;
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders",
            "billing",
            static (_, _, _) => throw new InvalidOperationException(new string('e', 100_000), new InvalidOperationException(new string('i', 100_000))),
            o => (o.MaxAttempts, o.RetryBaseDelay, o.RetryMaxDelay) = (attempts, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1))));
        var headers = Enumerable.Range(0, 940).ToDictionary(i => $"h{i}", _ => "");
        var size = StreamLimits.MaxEntryBytes - (64 * 1024) - 20_000;

        await Assert.ThrowsAsync<ArgumentException>(async () =>
            await host.Publisher.PublishAsync("orders", new OrderCreated(new string('x', size + 20_000), 1)));
        await host.Publisher.PublishAsync("orders", new OrderCreated(new string('x', size), 1), new() { Headers = headers });

        var letter = Assert.Single(await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")));
        Assert.Equal(attempts.ToString(System.Globalization.CultureInfo.InvariantCulture), letter.Fields.GetText("attempt"u8));
        await host.WhenSettledAsync("orders", "billing");
    }

    [Fact]
    public async Task State_that_changed_meanwhile_runs_the_handler_again_and_no_count_is_lost()
    {
        const int messages = 40;
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", async (_, context, token) =>
        {
            var counter = await context.State.GetAsync<Counter>("count", token) ?? new(0);
            await Task.Yield();
            context.State.Put("count", new Counter(counter.Value + 1));
        }, o => (o.Concurrency, o.RetryBaseDelay) = (4, TimeSpan.FromMilliseconds(1))));

        await host.Publisher.PublishManyAsync("orders", Enumerable.Range(0, messages).Select(i => new OrderCreated($"o{i}", i)).ToList());

        await Eventually.TrueAsync("all messages are counted", async () =>
            await host.Store.GetStateAsync(new("orders", "count")) is { } state &&
            JsonDocument.Parse(state.Payload).RootElement.GetProperty("value").GetInt32() == messages);
        await host.WhenSettledAsync("orders", "billing");
    }

    [Fact]
    public async Task State_conflict_of_settling_by_hand_runs_the_handler_again_even_at_its_last_attempt()
    {
        var runs = 0;
        await using var store = new EmbeddedStreamStore(new());
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", async (_, context, token) =>
        {
            var counter = await context.State.GetAsync<Counter>("count", token) ?? new(0);
            if (Interlocked.Increment(ref runs) == 1)
                await store.CommitAsync(new Commit
                {
                    Changes = [new CommitChange.PutState(new("orders", "count"), "{\"value\":10}"u8.ToArray())],
                });
            context.State.Put("count", new Counter(counter.Value + 1));
            context.Publish("done", new OrderPaid("o1"));
            await context.AckAsync(token);
        }, o => o.MaxAttempts = 1), store);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.ReadAsync("done");

        Assert.Equal(2, runs);
        Assert.Equal("{\"value\":11}", Encoding.UTF8.GetString((await host.Store.GetStateAsync(new("orders", "count")))!.Payload.Span));
    }

    [Fact]
    public async Task Handler_whose_document_changes_before_each_of_25_commits_has_failed_an_attempt()
    {
        var runs = new ConcurrentQueue<int>();
        await using var store = new EmbeddedStreamStore(new());
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", async (_, context, token) =>
        {
            runs.Enqueue(context.Attempt);
            var counter = await context.State.GetAsync<Counter>("count", token) ?? new(0);
            if (context.Attempt == 1)
                await store.CommitAsync(new Commit
                {
                    Changes = [new CommitChange.PutState(new("orders", "count"), "{\"value\":10}"u8.ToArray())],
                });
            context.State.Put("count", new Counter(counter.Value + 1));
            context.Publish("done", new OrderPaid("o1"));
        }, o => (o.RetryBaseDelay, o.MaxAttempts) = (TimeSpan.FromMilliseconds(1), 2)), store);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.ReadAsync("done");
        await host.StopAsync();

        Assert.Equal([.. Enumerable.Repeat(1, 25), 2], runs);
        Assert.Equal(1, (await store.GetStreamInfoAsync("done"))!.EntriesAdded);
        Assert.Equal("{\"value\":11}", Encoding.UTF8.GetString((await store.GetStateAsync(new("orders", "count")))!.Payload.Span));
    }

    [Fact]
    public async Task Output_that_the_store_refuses_counts_as_a_failed_attempt()
    {
        var attempts = 0;
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (_, context, _) =>
        {
            Interlocked.Increment(ref attempts);
            context.Publish("{orders}:state:taken", new OrderPaid("o1"));
            return Task.CompletedTask;
        }, o => (o.RetryBaseDelay, o.MaxAttempts) = (TimeSpan.FromMilliseconds(1), 2)));
        await host.Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(new("orders", "taken"), "x"u8.ToArray())] });

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;

        Assert.Equal(DeadLetterReasons.AttemptsExhausted, dead.GetText("deadreason"u8));
        Assert.Equal(2, attempts);
    }

    [Fact]
    public async Task Settling_by_hand_happens_once_and_takes_the_outputs_so_far()
    {
        var results = new TaskCompletionSource<(bool Acked, Exception? Second, Exception? Late)>();
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", async (_, context, token) =>
        {
            context.Publish("done", new OrderPaid("o1"));
            var acked = await context.AckAsync(token);
            var second = await Record.ExceptionAsync(async () => await context.RejectAsync("again", token));
            var late = Record.Exception(() => context.Publish("done", new OrderPaid("o2")));
            results.SetResult((acked, second, late));
            throw new InvalidOperationException("too late to matter");
        }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var (acked, second, late) = await results.Task.WaitAsync(Eventually.Deadline);
        await host.StopAsync();

        Assert.True(acked);
        Assert.IsType<InvalidOperationException>(second);
        Assert.IsType<InvalidOperationException>(late);
        Assert.Equal(1, (await host.Store.GetStreamInfoAsync("done"))!.Length);
        Assert.Equal(0, (await host.Store.PendingSummaryAsync("orders", "billing")).Count);
        Assert.Null(await host.Store.GetStreamInfoAsync(StreamNames.DeadLetters("orders", "billing")));
    }

    [Fact]
    public async Task Rejecting_by_hand_moves_to_the_dead_letters_with_the_outputs()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>(
            "orders", "billing", async (_, context, token) =>
        {
            context.Publish("done", new OrderPaid("o1"));
            await context.RejectAsync("fraud", token);
        }));

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));

        Assert.Equal("fraud", (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields.GetText("deadreason"u8));
        Assert.Single(await host.ReadAsync("done"));
    }

    [Fact]
    public async Task Class_handler_gets_a_scope_of_its_own_for_each_delivery()
    {
        await using var host = await ConsumerHost.StartAsync(m =>
        {
            m.Services.AddSingleton<Scopes>();
            m.AddConsumer<Handler, OrderCreated>("orders", "billing", static (h, order, context, _) => h.Handle(order, context));
        });

        await host.Publisher.PublishManyAsync<OrderCreated>("orders", [new("o1", 1), new("o2", 2)]);
        await host.ReadAsync("done", 2);

        Assert.Equal(2, host.Host.Services.GetRequiredService<Scopes>().Handlers.Distinct().Count());
    }

    private sealed class Scopes
    {
        public ConcurrentQueue<Handler> Handlers { get; } = new();
    }

    private sealed class Handler(Scopes scopes)
    {
        public Task Handle(OrderCreated order, MessageContext context)
        {
            scopes.Handlers.Enqueue(this);
            context.Publish("done", new OrderPaid(order.OrderId));
            return Task.CompletedTask;
        }
    }
}
