using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Consuming;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Lanes;

/// <summary>What priority lanes promise, the same on every store.</summary>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract class PriorityLanesTests(Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly ConcurrentQueue<(string? Lane, int Amount)> _begun = [];
    private IStreamStore? _store;

    public sealed class OnEmbedded() : PriorityLanesTests(null);

    public sealed class OnRedis(SharedRedis redis) : PriorityLanesTests(async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(SharedMillrace millrace) : PriorityLanesTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    public async ValueTask InitializeAsync() =>
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));

    public async ValueTask DisposeAsync() => await _store!.DisposeAsync();

    /// <summary>Every lane has messages in line; what begins shows the weights, within a tenth.</summary>
    [Fact]
    public async Task Shares_of_lanes_with_a_backlog_are_their_weights()
    {
        const int each = 600;
        using var turnstile = new SemaphoreSlim(0);
        await using var host = await HostAsync(turnstile, o => (o.Concurrency, o.Prefetch) = (2, 3 * each));
        foreach (var lane in new[] { null, "express", "bulk" })
            await host.Publisher.PublishManyAsync(_stream, Amounts(each), new() { Lane = lane });
        await Eventually.TrueAsync("two handlers run", () => new(_begun.Count == 2));

        // What is held may not have come to the line yet.
        await Eventually.TrueAsync("all messages are in line", () => new(WorkersOf(host).All(
            worker => worker.Plan.Lane!.Budget.CountWaiting(worker.Plan.Lane.Index) >= each - 2)));
        var before = _begun.Count;
        await ReleaseAsync(turnstile, 650);

        AssertWeights(_begun.Skip(before).Take(650));
        turnstile.Release(each * 3);
        await Eventually.TrueAsync("all are handled", () => new(_begun.Count == each * 3));
        Assert.Equal(each * 3, _begun.Distinct().Count());
    }

    /// <summary>Handlers that end at once were faster than reading: lanes were empty for moments, and each went as fast as it was read.</summary>
    [Fact]
    public async Task Shares_are_the_weights_with_default_options_and_handlers_that_end_at_once()
    {
        const int each = 2_600;
        var begin = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var publisher = await ConsumerHost.StartAsync(m => m.AddLanes(_stream, Lanes).AddMessage<OrderCreated>(), _store, instance: "p");
        foreach (var lane in new[] { null, "express", "bulk" })
        {
            foreach (var some in Amounts(each).Chunk(650))
                await publisher.Publisher.PublishManyAsync(_stream, some, new() { Lane = lane });
        }

        await using var host = await ConsumerHost.StartAsync(
            m => m.AddLanes(_stream, Lanes).AddConsumer<OrderCreated>(_stream, "packing", (order, context, _) =>
            {
                _begun.Enqueue((context.Lane, (int)order.Total));
                return begin.Task;
            }),
            _store,
            new ManualTimeProvider()); // It stands still: a machine that stalls is no lane that cannot go on.
        await Eventually.TrueAsync("all lanes are read", () => new(WorkersOf(host).All(
            worker => worker.Plan.Lane!.Budget.CountWaiting(worker.Plan.Lane.Index) > 0)));
        var before = _begun.Count;
        begin.SetResult();
        await Eventually.TrueAsync("all are handled", () => new(_begun.Count == 3 * each));

        Assert.All(_begun.Skip(before).Chunk(650).Take(4), AssertWeights);
        Assert.Equal(3 * each, _begun.Distinct().Count());
    }

    /// <summary>Each message of a read is work of its own for the pool: which of them came to the line first was left to the threads.</summary>
    [Fact]
    public async Task One_handler_keeps_the_order_of_each_lane()
    {
        const int each = 1_000;
        await using var publisher = await ConsumerHost.StartAsync(m => m.AddLanes(_stream, Lanes).AddMessage<OrderCreated>(), _store, instance: "p");
        foreach (var lane in new[] { null, "express" })
            await publisher.Publisher.PublishManyAsync(_stream, Amounts(each), new() { Lane = lane });
        using var turnstile = new SemaphoreSlim(int.MaxValue / 2);

        await using var host = await HostAsync(turnstile, o => (o.Concurrency, o.Prefetch) = (1, 50));
        await Eventually.TrueAsync("all are handled", () => new(_begun.Count == 2 * each));

        foreach (var lane in new[] { null, "express" })
            Assert.Equal(Enumerable.Range(0, each), _begun.Where(one => one.Lane == lane).Select(one => one.Amount));
    }

    /// <summary>
    /// A process dies with messages of every lane in its hands. Those of the other go on by weight, and it takes over what the dead one had.
    /// </summary>
    [Fact]
    public async Task Shares_stay_the_weights_when_a_process_that_holds_messages_of_all_lanes_is_killed()
    {
        const int each = 700;
        const int held = 60;
        using var never = new SemaphoreSlim(0);
        using var turnstile = new SemaphoreSlim(0);
        foreach (var lane in new[] { null, "express", "bulk" })
        {
            await using var publisher = await ConsumerHost.StartAsync(m => m.AddLanes(_stream, Lanes).AddMessage<OrderCreated>(), _store, instance: "p");
            await publisher.Publisher.PublishManyAsync(_stream, Amounts(each), new() { Lane = lane });
        }

        await using var dying = await HostAsync(
            never, o => (o.Concurrency, o.Prefetch, o.Lease) = (2, held, TimeSpan.FromSeconds(5)), "dying");
        await Eventually.TrueAsync("it has messages of all lanes", () => new(WorkersOf(dying).All(worker => worker.Load.Held >= held / 2)));
        await using var host = await HostAsync(
            turnstile, o => (o.Concurrency, o.Prefetch, o.Lease) = (2, 3 * each, TimeSpan.FromSeconds(5)), "living");
        await Eventually.TrueAsync("the other has the rest in line", () => new(WorkersOf(host).All(
            worker => worker.Plan.Lane!.Budget.CountWaiting(worker.Plan.Lane.Index) >= each - (2 * held) - 2)));
        await dying.AbortAsync();
        _begun.Clear();
        while (_begun.DistinctBy(one => one.Lane).Count() < 3)
            await ReleaseAsync(turnstile, 1);
        var before = _begun.Count;
        await ReleaseAsync(turnstile, 650);

        AssertWeights(_begun.Skip(before).Take(650));
        turnstile.Release(3 * each);
        await Eventually.TrueAsync("all are handled", async () =>
        {
            foreach (var lane in new[] { _stream, StreamNames.Lane(_stream, "express"), StreamNames.Lane(_stream, "bulk") })
            {
                if (await _store!.GetGroupsAsync(lane) is not [{ PendingCount: 0, Lag: 0 }])
                    return false;
            }

            return true;
        });
        Assert.InRange(_begun.Distinct().Count(), (3 * each) - 2, 3 * each); // Two had begun when it was cleared.
    }

    /// <summary>One handler's place for all lanes: a second one never runs, whichever lane is read.</summary>
    [Fact]
    public async Task Lanes_share_the_places_of_their_group()
    {
        var (running, most) = (0, 0);
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddLanes(_stream, Lanes).AddConsumer<OrderCreated>(
                _stream, "packing", async (order, context, token) =>
                {
                    var now = Interlocked.Increment(ref running);
                    InterlockedMax(ref most, now);
                    await Task.Delay(1, token);
                    Interlocked.Decrement(ref running);
                    _begun.Enqueue((context.Lane, (int)order.Total));
                }, o => o.Concurrency = 3),
            _store);
        foreach (var lane in new[] { null, "express", "bulk" })
            await host.Publisher.PublishManyAsync(_stream, Amounts(50), new() { Lane = lane });

        await Eventually.TrueAsync("all are handled", () => new(_begun.Count == 150));

        Assert.InRange(most, 2, 3);
    }

    /// <summary>Retries stay in their lane; dead letters, documents and the context are those of the stream.</summary>
    [Fact]
    public async Task Message_of_a_lane_that_fails_is_retried_and_ends_in_the_dead_letters_of_its_stream()
    {
        var contexts = new ConcurrentQueue<(string Stream, string? Lane, int Attempt)>();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddLanes(_stream, Lanes).AddConsumer<OrderCreated>(
                _stream, "packing", (order, context, _) =>
                {
                    contexts.Enqueue((context.Stream, context.Lane, context.Attempt));
                    context.State.Put(order.OrderId, order);
                    return order.Total < 0 ? throw new InvalidOperationException("no such amount") : Task.CompletedTask;
                }, o => (o.MaxAttempts, o.RetryBaseDelay) = (2, TimeSpan.FromMilliseconds(1))),
            _store);

        await host.Publisher.PublishAsync(_stream, new OrderCreated("good", 1), new() { Lane = "express" });
        await host.Publisher.PublishAsync(_stream, new OrderCreated("bad", -1), new() { Lane = "express" });
        await host.ReadAsync(StreamNames.DeadLetters(_stream, "packing"));
        await host.WhenSettledAsync(StreamNames.Lane(_stream, "express"), "packing");

        Assert.Equal([(_stream, "express", 1), (_stream, "express", 1), (_stream, "express", 2)], contexts.Order());
        Assert.NotNull(await _store!.GetStateAsync(new(_stream, "good")));
        var letters = host.Host.Services.GetRequiredService<Millrace.DeadLetters>().Of(_stream, "packing");
        Assert.Single(await letters.RedriveAllAsync(new(), new() { By = "test" }).ToListAsync());
        await Eventually.TrueAsync("it is handled again", () => new(contexts.Count == 5));
    }

    [Fact]
    public async Task Outputs_and_commits_go_to_lanes_too_and_to_no_others()
    {
        var output = $"{{{_stream}}}:out";
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddLanes(output, Lanes).AddConsumer<OrderCreated>(_stream, "packing", (order, context, _) =>
            {
                context.Publish(output, order, new() { Lane = "express" });
                return Task.CompletedTask;
            }),
            _store);
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        var scope = host.Publisher.NewCommit(_stream);
        scope.Publish(output, new OrderCreated("o2", 2), new() { Lane = "bulk" });
        await scope.CommitAsync();

        Assert.Single(await host.ReadAsync(StreamNames.Lane(output, "express")));
        Assert.Single(await host.ReadAsync(StreamNames.Lane(output, "bulk")));
        foreach (var (stream, lane) in new[] { (output, "fast"), (_stream, "express") })
            await Assert.ThrowsAsync<ArgumentException>(async () =>
                await host.Publisher.PublishAsync(stream, new OrderCreated("o3", 3), new() { Lane = lane }));
    }

    /// <summary>It gets another entry ID, which says something else.</summary>
    [Fact]
    public async Task Message_that_is_moved_keeps_its_id_and_its_time()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddLanes(_stream, Lanes).AddMessage<OrderCreated>(), _store);
        var lanes = host.Host.Services.GetRequiredService<PriorityLanes>();
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1), new() { Lane = "bulk" });
        var bulk = StreamNames.Lane(_stream, "bulk");
        var id = new EntryId((await host.ReadAsync(bulk, 1))[0].Id.Milliseconds + 60_000, 7);
        await _store!.CommitAsync(new Commit
        {
            Changes = [new CommitChange.Append(bulk, EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{}")), id)],
        });
        var before = (await host.ReadAsync(bulk, 2)).Select(entry => new MessageHeaders(entry.Id, entry.Fields, isOriginal: true, bulk)).ToList();

        foreach (var entry in await host.ReadAsync(bulk, 2))
            Assert.NotNull(await lanes.MoveAsync(_stream, entry.Id, "bulk", "express"));

        var after = (await host.ReadAsync(StreamNames.Lane(_stream, "express"), 2)).Select(entry => new MessageHeaders(entry.Id, entry.Fields)).ToList();
        Assert.Equal(before.Select(one => (one.MessageId, one.Time)), after.Select(one => (one.MessageId, one.Time)));
        Assert.Equal($"{bulk}/{id}", after[1].MessageId);
    }

    /// <summary>Movers and readers at once: each message is handled once, in one lane or the other.</summary>
    [Fact]
    public async Task Message_that_is_moved_while_it_is_read_is_handled_once()
    {
        const int messages = 200;
        await using var publisher = await ConsumerHost.StartAsync(m => m.AddLanes(_stream, Lanes).AddMessage<OrderCreated>(), _store, instance: "p");
        var ids = await publisher.Publisher.PublishManyAsync(_stream, Amounts(messages), new() { Lane = "bulk" });
        var lanes = publisher.Host.Services.GetRequiredService<PriorityLanes>();
        var moved = await MoveAsync(ids.Skip(150));
        Assert.Equal(50, moved);
        using var turnstile = new SemaphoreSlim(int.MaxValue / 2);
        await using var host = await HostAsync(turnstile, o => (o.Concurrency, o.Prefetch) = (1, 0));
        moved += await MoveAsync(ids.Take(150).Reverse());

        await Eventually.TrueAsync("all are handled", () => new(_begun.Count >= messages));
        foreach (var lane in new[] { "bulk", "express" })
            await Eventually.TrueAsync(
                "nothing is pending", async () => await _store!.GetGroupsAsync(StreamNames.Lane(_stream, lane)) is [{ PendingCount: 0 }]);
        Assert.Equal(Enumerable.Range(0, messages), _begun.Select(one => one.Amount).Order());
        Assert.Equal(moved, _begun.Count(one => one.Lane == "express"));
        Assert.Null(await lanes.MoveAsync(_stream, ids[0], "bulk", null));

        async Task<int> MoveAsync(IEnumerable<EntryId> some)
        {
            var count = 0;
            foreach (var id in some)
            {
                if (await lanes.MoveAsync(_stream, id, "bulk", "express") is not null)
                    count++;
            }

            return count;
        }
    }

    [Fact]
    public async Task Pause_of_a_stream_pauses_its_lanes()
    {
        using var turnstile = new SemaphoreSlim(int.MaxValue / 2);
        await using var host = await HostAsync(turnstile);
        var control = host.Host.Services.GetRequiredService<ConsumerControl>();

        Assert.True(control.Pause(_stream, "packing"));
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o", 1), new() { Lane = "express" });
        Assert.All(control.Consumers, consumer => Assert.Equal(WorkerState.Paused, consumer.State));
        Assert.Empty(_begun);
        Assert.True(control.Resume(_stream, "packing"));

        await Eventually.TrueAsync("it is handled", () => new(_begun.Count == 1));
    }

    [Fact]
    public async Task Order_across_lanes_is_refused()
    {
        var refusal = await Assert.ThrowsAsync<MillraceConfigurationException>(() => HostAsync(new(0), o => o.OrderedBy = "OrderId"));

        Assert.Contains("lanes", refusal.Message, StringComparison.Ordinal);
    }

    private static void Lanes(LaneOptions lanes)
    {
        lanes.Weight = 4;
        lanes.Add("express", 8).Add("bulk", 1);
    }

    private static List<OrderCreated> Amounts(int count) => [.. Enumerable.Range(0, count).Select(i => new OrderCreated($"o{i}", i))];

    /// <summary>Lets so many handlers end, and waits until as many others have begun.</summary>
    private async Task ReleaseAsync(SemaphoreSlim turnstile, int count)
    {
        var next = _begun.Count + count;
        turnstile.Release(count);
        await Eventually.TrueAsync("as many begin", () => new(_begun.Count >= next));
    }

    /// <summary>8 : 4 : 1 of 650, each within a tenth.</summary>
    private static void AssertWeights(IEnumerable<(string? Lane, int Amount)> begun)
    {
        var shares = begun.CountBy(one => one.Lane ?? "").ToDictionary();
        Assert.InRange(shares["express"], 360, 440);
        Assert.InRange(shares[""], 180, 220);
        Assert.InRange(shares["bulk"], 45, 55);
    }

    private static IReadOnlyList<ConsumerWorker> WorkersOf(ConsumerHost host) => host.Host.Services.GetRequiredService<MillraceService>().Workers;

    private static void InterlockedMax(ref int target, int value)
    {
        for (var seen = Volatile.Read(ref target); value > seen; seen = Volatile.Read(ref target))
            Interlocked.CompareExchange(ref target, value, seen);
    }

    private Task<ConsumerHost> HostAsync(
        SemaphoreSlim turnstile, Action<ConsumerOptions>? configure = null, string instance = "local") => ConsumerHost.StartAsync(
        m => m.AddLanes(_stream, Lanes).AddConsumer<OrderCreated>(
            _stream, "packing", async (order, context, token) =>
            {
                _begun.Enqueue((context.Lane, (int)order.Total));
                await turnstile.WaitAsync(token);
            }, configure),
        _store,
        instance: instance);
}
