using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Ordered;

/// <summary>What an ordered group does while its reader lives, the same on every store. Keys are order IDs, totals number their messages.</summary>
public abstract partial class OrderedContract
{
    private const string Group = "billing";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly ConcurrentQueue<(string Key, int Number, int Attempt, long Deliveries)> _handled = [];

    protected abstract IStreamStore Store { get; }

    private string Dead => StreamNames.DeadLetters(_stream, Group);

    private GroupParkedKeys Parked => new ParkedKeys(Store).Of(_stream, Group);

    /// <summary>Dapr components-contrib #2204: a retry that let later messages pass.</summary>
    [Fact]
    public async Task Messages_of_a_key_run_in_order_and_one_at_a_time_under_failures()
    {
        var running = new ConcurrentDictionary<string, int>();
        var overlaps = 0;
        await using var host = await StartAsync(async (order, context, _) =>
        {
            if (running.AddOrUpdate(order.OrderId, 1, static (_, count) => count + 1) > 1)
                Interlocked.Increment(ref overlaps);
            try
            {
                // Long enough for whatever else may run.
                await Store.GetStreamInfoAsync(_stream, CancellationToken.None);
                for (var i = 0; i < 10; i++)
                    await Task.Yield();
                if ((context.Attempt * 7 + (int)order.Total) % 5 == 0)
                    throw new InvalidOperationException("now and then");
                await HandleAsync(order, context);
            }
            finally
            {
                running.AddOrUpdate(order.OrderId, 0, static (_, count) => count - 1);
            }
        }, o => o.MaxAttempts = 20);

        // Three of a key behind each other, so that one read brings them together.
        for (var first = 1; first <= 15; first += 3)
        {
            var keys = Enumerable.Range(0, 30).SelectMany(key => Enumerable.Range(first, 3).Select(number => new OrderCreated($"k{key}", number)));
            await host.Publisher.PublishManyAsync<OrderCreated>(_stream, [.. keys]);
        }

        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(0, overlaps);
        Assert.Equal(450, _handled.Count);
        Assert.All(_handled.GroupBy(item => item.Key), key => Assert.Equal(Enumerable.Range(1, 15), key.Select(item => item.Number)));
        Assert.Contains(_handled, item => item.Attempt > 1);
        Assert.All(_handled, item => Assert.Equal(1, item.Deliveries));
        Assert.Empty(await Parked.ListAsync().ToListAsync());
        Assert.Null(await Store.GetStreamInfoAsync(Dead));
    }

    [Fact]
    public async Task Concurrency_is_the_number_of_keys_at_once()
    {
        int running = 0, most = 0;
        var gate = new TaskCompletionSource();
        await using var host = await StartAsync(async (order, context, token) =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref running));
            await gate.Task.WaitAsync(token);
            Interlocked.Decrement(ref running);
            await HandleAsync(order, context);
        }, o => o.Concurrency = 3);
        await PublishAsync(host, 1, "a", "a", "b", "c", "d", "e");

        await Eventually.TrueAsync("as many as may run", () => new(Volatile.Read(ref running) == 3));
        gate.SetResult();
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal((3, 6), (most, _handled.Count));
    }

    [Fact]
    public async Task Failing_key_waits_without_a_slot_and_parks_only_itself()
    {
        var isFixed = false;
        await using var host = await StartAsync(
            (order, context, _) => order.OrderId == "bad" && !Volatile.Read(ref isFixed)
                ? throw new InvalidOperationException("no money")
                : HandleAsync(order, context),
            o => (o.Concurrency, o.MaxAttempts, o.RetryMaxDelay) = (1, 1_000, TimeSpan.FromMilliseconds(20)));
        await PublishAsync(host, 1, "bad", "good");
        await PublishAsync(host, 2, "bad", "good");

        await Eventually.TrueAsync("the other key is through", () => new(_handled.Count == 2));
        await Eventually.TrueAsync("the key is parked", async () => await Parked.FindAsync("bad") is { Attempts.Count: >= 2 });
        var parked = Assert.Single(await Parked.ListAsync().ToListAsync());
        Assert.Equal(("bad", _stream, false), (parked.Key, parked.Stream, parked.IsExhausted));
        Assert.Equal((await Store.RangeAsync(_stream, new()))[0].Id, parked.EntryId);
        Assert.Equal("InvalidOperationException: no money", parked.Attempts[^1].Error);
        Volatile.Write(ref isFixed, true);
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal([("good", 1), ("good", 2), ("bad", 1), ("bad", 2)], _handled.Select(item => (item.Key, item.Number)));
        Assert.Equal(1, _handled.ElementAt(2).Deliveries);
        Assert.Empty(await Parked.ListAsync().ToListAsync());
        Assert.Equal(0, (await Store.GetStreamInfoAsync(StreamNames.Order(_stream, Group)))!.Length);
    }

    [Fact]
    public async Task Exhausted_message_goes_to_the_dead_letters_and_its_key_goes_on()
    {
        await using var host = await StartAsync(
            (order, context, _) => order.Total == 1 ? throw new InvalidOperationException("no money") : HandleAsync(order, context),
            o => o.MaxAttempts = 3);
        await PublishAsync(host, 1, "a");
        await PublishAsync(host, 2, "a");

        await host.WhenSettledAsync(_stream, Group);

        var letter = Assert.Single(await new Millrace.DeadLetters(Store).Of(_stream, Group).ListAsync().ToListAsync());
        Assert.Equal(DeadLetterReasons.AttemptsExhausted, letter.Reason);
        Assert.Equal([1, 2, 3], letter.Attempts.Select(attempt => attempt.Attempt));
        Assert.Equal((await Store.RangeAsync(_stream, new()))[0].Id, letter.Headers.SourceId);
        Assert.Equal([("a", 2)], _handled.Select(item => (item.Key, item.Number)));
        Assert.Empty(await Parked.ListAsync().ToListAsync());
    }

    [Fact]
    public async Task Exhausted_message_that_stays_parked_is_resumed_with_all_attempts_before_it()
    {
        var isFixed = false;
        await using var host = await StartAsync(
            (order, context, _) => order.Total == 1 && !Volatile.Read(ref isFixed)
                ? throw new InvalidOperationException("no money")
                : HandleAsync(order, context),
            o => (o.MaxAttempts, o.WhenExhausted) = (2, WhenExhausted.Park));
        await PublishAsync(host, 1, "a");
        await PublishAsync(host, 2, "a", "b");
        await Eventually.TrueAsync("the key is parked for good", async () => await Parked.FindAsync("a") is { IsExhausted: true });

        Assert.True(await Parked.ResumeAsync("a", "ann"));
        await Eventually.TrueAsync("it failed as often again", async () => await Parked.FindAsync("a") is { IsExhausted: true, Attempts.Count: 4 });
        Volatile.Write(ref isFixed, true);
        Assert.True(await Parked.ResumeAsync("a", "ann"));
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal([("b", 2, 1), ("a", 1, 1), ("a", 2, 1)], _handled.Select(item => (item.Key, item.Number, item.Attempt)));
        Assert.False(await Parked.ResumeAsync("a", "ann"));
        Assert.Equal(0, (await Store.GetStreamInfoAsync(StreamNames.Order(_stream, Group)))!.Length);
    }

    [Fact]
    public async Task Skipped_message_goes_to_the_dead_letters_and_comes_back_when_it_is_redriven()
    {
        var isFixed = false;
        await using var host = await StartAsync(
            (order, context, _) => order.Total == 1 && !Volatile.Read(ref isFixed)
                ? throw new InvalidOperationException("no money")
                : HandleAsync(order, context),
            o => (o.MaxAttempts, o.WhenExhausted) = (2, WhenExhausted.Park));
        await PublishAsync(host, 1, "a");
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("the key is parked for good", async () => await Parked.FindAsync("a") is { IsExhausted: true });

        Assert.True(await Parked.SkipAsync("a", "ann"));
        await host.WhenSettledAsync(_stream, Group);

        var letters = new Millrace.DeadLetters(Store).Of(_stream, Group);
        var letter = Assert.Single(await letters.ListAsync().ToListAsync());
        Assert.Equal((DeadLetterReasons.Skipped, 2), (letter.Reason, letter.Attempts.Count));
        Volatile.Write(ref isFixed, true);
        Assert.Equal(RedriveOutcome.Redriven, (await letters.RedriveAsync(letter.Id, new() { By = "ann" })).Outcome);
        await Eventually.TrueAsync("it is handled", () => new(_handled.Count == 2));
        Assert.Equal([("a", 2), ("a", 1)], _handled.Select(item => (item.Key, item.Number)));
        await Eventually.TrueAsync("nothing is left", async () =>
            (await Store.GetStreamInfoAsync(StreamNames.Again(_stream, Group)))!.Length == 0 &&
            (await Store.GetStreamInfoAsync(StreamNames.Order(_stream, Group)))!.Length == 0);
    }

    /// <summary>It was acknowledged in silence when its turn came.</summary>
    [Fact]
    public async Task Entry_that_is_deleted_while_it_waits_behind_its_key_is_told_and_one_that_is_settled_is_not()
    {
        var isFixed = false;
        var losses = new ConcurrentQueue<StreamLossEventArgs>();
        await using var host = await StartAsync(
            (order, context, _) => Volatile.Read(ref isFixed) ? HandleAsync(order, context) : throw new InvalidOperationException("no money"),
            o => (o.MaxAttempts, o.WhenExhausted) = (1, WhenExhausted.Park));
        host.Host.Services.GetRequiredService<StreamLosses>().Detected += (_, loss) => losses.Enqueue(loss);
        for (var number = 1; number <= 4; number++)
            await PublishAsync(host, number, "a");
        await Eventually.TrueAsync("the key is parked for good", async () => await Parked.FindAsync("a") is { IsExhausted: true });
        await Eventually.TrueAsync("the rest waits", async () => await Store.GetGroupsAsync(_stream) is [{ PendingCount: 4 }]);

        var ids = (await Store.RangeAsync(_stream, new())).Select(entry => entry.Id).ToList();
        await Store.DeleteAsync(_stream, [ids[1]]);
        await Store.AckAndDeleteAsync(_stream, Group, [ids[2]]);
        Volatile.Write(ref isFixed, true);
        Assert.True(await Parked.ResumeAsync("a", "ann"));
        await host.WhenSettledAsync(_stream, Group);

        var loss = Assert.Single(losses);
        Assert.Equal((StreamLossKind.PendingDeleted, ids[1], 1L), (loss.Kind, loss.MissingThrough, loss.MissingCount));
        Assert.Equal([1, 4], _handled.Select(item => item.Number));
    }

    /// <summary>Its key was stuck until the reader changed, and nobody could ask again.</summary>
    [Fact]
    public async Task Skip_whose_letter_is_refused_is_tried_again()
    {
        var letters = 0;
        await using var host = await StartAsync(
            (order, context, _) => order.Total == 1 ? throw new InvalidOperationException("no money") : HandleAsync(order, context),
            o =>
            {
                (o.MaxAttempts, o.WhenExhausted, o.Lease) = (1, WhenExhausted.Park, TimeSpan.FromSeconds(1));
                o.OnSettling = (settling, _) => settling.Reason == DeadLetterReasons.Skipped && Interlocked.Increment(ref letters) <= 2
                    ? throw new InvalidOperationException("not now")
                    : ValueTask.CompletedTask;
            });
        await PublishAsync(host, 1, "a");
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("the key is parked for good", async () => await Parked.FindAsync("a") is { IsExhausted: true });

        Assert.True(await Parked.SkipAsync("a", "ann"));
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(3, letters);
        var letter = Assert.Single(await new Millrace.DeadLetters(Store).Of(_stream, Group).ListAsync().ToListAsync());
        Assert.Equal(DeadLetterReasons.Skipped, letter.Reason);
        Assert.Equal([2], _handled.Select(item => item.Number));
        Assert.Equal(0, (await Store.GetStreamInfoAsync(StreamNames.Order(_stream, Group)))!.Length);
    }

    /// <summary>Behind a resume it was dropped, though the operator was told that it is asked for.</summary>
    [Fact]
    public async Task Skip_that_is_asked_for_after_a_resume_while_the_message_runs_is_done_when_it_fails()
    {
        int runs = 0, reads = 0;
        var gate = new TaskCompletionSource();
        await using var host = await StartAsync(
            async (order, context, _) =>
            {
                if (order.Total == 1)
                {
                    if (Interlocked.Increment(ref runs) == 2)
                        await gate.Task;
                    throw new InvalidOperationException("no money");
                }

                await HandleAsync(order, context);
            },
            o => (o.MaxAttempts, o.RetryMaxDelay) = (1_000, TimeSpan.FromMilliseconds(1)),
            store: FaultyStore.Wrap(Store, call =>
            {
                if (call == "ReadAsync")
                    Interlocked.Increment(ref reads);
                return FaultyStore.Fault.None;
            }));
        await PublishAsync(host, 1, "a");
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("it runs again", () => new(Volatile.Read(ref runs) == 2));

        await AskAsync(() => Parked.ResumeAsync("a", "ann"));
        await AskAsync(() => Parked.SkipAsync("a", "ann"));
        gate.SetResult();
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(2, runs);
        var letter = Assert.Single(await new Millrace.DeadLetters(Store).Of(_stream, Group).ListAsync().ToListAsync());
        Assert.Equal((DeadLetterReasons.Skipped, 2), (letter.Reason, letter.Attempts.Count));
        Assert.Equal([2], _handled.Select(item => item.Number));
        Assert.Equal(0, (await Store.GetStreamInfoAsync(StreamNames.Order(_stream, Group)))!.Length);

        // The reader has read the note, and waits for the next one.
        async Task AskAsync(Func<ValueTask<bool>> ask)
        {
            var before = Volatile.Read(ref reads);
            Assert.True(await ask());
            await Eventually.TrueAsync("it is read", () => new(Volatile.Read(ref reads) > before));
        }
    }

    [Fact]
    public async Task Limit_of_parked_keys_stops_reading_until_one_goes_on()
    {
        var isFixed = false;
        await using var host = await StartAsync(
            (order, context, _) => order.OrderId != "c" && !Volatile.Read(ref isFixed)
                ? throw new InvalidOperationException("no money")
                : HandleAsync(order, context),
            o => (o.MaxAttempts, o.WhenExhausted, o.MaxParkedKeys) = (1, WhenExhausted.Park, 2));
        await PublishAsync(host, 1, "a", "b");
        await Eventually.TrueAsync("both are parked", async () => (await Parked.ListAsync().ToListAsync()).Count == 2);
        var health = host.Host.Services.GetService(typeof(Millrace.Hosting.MillraceService)) as Millrace.Hosting.MillraceService;
        await PublishAsync(host, 1, "c", "c", "c");
        await Eventually.TrueAsync("it says so", () => new(health!.Consumers.Single().Current.State == WorkerState.Full));
        await PublishAsync(host, 2, "c");
        Assert.NotEqual(0, (await Store.GetGroupsAsync(_stream))[0].Lag);

        Volatile.Write(ref isFixed, true);
        Assert.True(await Parked.ResumeAsync("b", "ann"));
        await Eventually.TrueAsync("reading goes on", () => new(_handled.Count == 5));
        Assert.True(await Parked.SkipAsync("a", "ann"));
        await host.WhenSettledAsync(_stream, Group);
    }

    [Fact]
    public async Task Limit_of_waiting_entries_stops_reading_until_some_can_run()
    {
        var gate = new TaskCompletionSource();
        await using var host = await StartAsync(async (order, context, token) =>
        {
            await gate.Task.WaitAsync(token);
            await HandleAsync(order, context);
        }, o => o.MaxWaitingEntries = 3);
        for (var number = 1; number <= 20; number++)
            await PublishAsync(host, number, "a");

        await Eventually.TrueAsync("the limit is reached", async () => await Store.GetGroupsAsync(_stream) is [{ PendingCount: >= 4 }]);
        Assert.InRange((await Store.GetGroupsAsync(_stream))[0].PendingCount, 4, 5);
        gate.SetResult();
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(Enumerable.Range(1, 20), _handled.Select(item => item.Number));
    }

    [Fact]
    public async Task Messages_without_a_key_run_by_themselves_and_are_retried_as_in_any_group()
    {
        await using var host = await StartAsync((order, context, _) => context.Attempt == 1 && order.OrderId is null
            ? throw new InvalidOperationException("once")
            : HandleAsync(order, context));
        await Store.AppendAsync(_stream, EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{\"total\":1}")));
        await Store.AppendAsync(_stream, EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "no json")));
        await Store.AppendAsync(_stream, EntryFields.Create(("type", "somebody.elses"), ("data", "{}")));
        await PublishAsync(host, 2, "a");

        await Eventually.TrueAsync("all are handled", () => new(_handled.Count == 2));
        await host.WhenSettledAsync(_stream, Group);

        Assert.Contains(_handled, item => item is { Number: 1, Attempt: 2 });
        Assert.Equal(2, (await Store.GetStreamInfoAsync(Dead))!.Length);
        Assert.Empty(await Parked.ListAsync().ToListAsync());
    }

    [Fact]
    public async Task Key_can_be_the_partition_key_of_the_envelope()
    {
        await using var host = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.OrderedBy = ConsumerOptions.PartitionKey);
        for (var number = 1; number <= 20; number++)
            await host.Publisher.PublishAsync(_stream, new OrderCreated($"o{number}", number), new() { PartitionKey = "p" });

        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(Enumerable.Range(1, 20), _handled.Select(item => item.Number));
    }

    private Task<ConsumerHost> StartAsync(
        Func<OrderCreated, MessageContext, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure = null,
        string instance = "local",
        Action<MillraceBuilder>? more = null,
        IStreamStore? store = null) =>
        ConsumerHost.StartAsync(m =>
        {
            more?.Invoke(m);
            m.AddConsumer(_stream, Group, handler, o =>
            {
                (o.OrderedBy, o.RetryBaseDelay) = (nameof(OrderCreated.OrderId), TimeSpan.FromMilliseconds(1));
                configure?.Invoke(o);
            });
        }, store ?? Store, instance: instance);

    private Task HandleAsync(OrderCreated order, MessageContext context)
    {
        _handled.Enqueue((order.OrderId, (int)order.Total, context.Attempt, context.DeliveryCount));
        return Task.CompletedTask;
    }

    private Task PublishAsync(ConsumerHost host, int number, params string[] keys) =>
        host.Publisher.PublishManyAsync<OrderCreated>(_stream, [.. keys.Select(key => new OrderCreated(key, number))]).AsTask();

    private static void InterlockedMax(ref int most, int value)
    {
        for (var seen = most; value > seen; seen = most)
            Interlocked.CompareExchange(ref most, value, seen);
    }
}
