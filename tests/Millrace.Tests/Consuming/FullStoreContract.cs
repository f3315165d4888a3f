using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Projections;
using Millrace.Recovery;
using Millrace.Streams;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Projections;
using Millrace.WorkQueues;

namespace Millrace.Tests.Consuming;

/// <summary>What makes room on a store that is full goes on, the same on every store.</summary>
public abstract class FullStoreContract : IAsyncLifetime
{
    private const string Group = "billing";

    private readonly SemaphoreSlim _started = new(0);
    private readonly TaskCompletionSource _filled = new();
    private readonly ConcurrentQueue<string> _handled = new();
    private readonly ConcurrentDictionary<string, bool> _hasFailed = new();
    private LimitedStore _limited = null!;

    private IStreamStore Store => _limited.Store;

    public async ValueTask InitializeAsync() => _limited = await StartAsync();

    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        _started.Dispose();
        return _limited.DisposeAsync();
    }

    protected abstract Task<LimitedStore> StartAsync();

    [Fact]
    public async Task Retention_of_a_full_store_drops_what_is_settled_and_notes_who_is_away()
    {
        await FillAsync(entries: 10, settled: 3);

        var result = await new Millrace.Retention(Store).ApplyAsync("orders", new() { MaxCount = 0 });

        Assert.Equal((3L, Group), (result.Entries, result.HeldBackBy));
        Assert.NotNull(await Store.GetStateAsync(new("orders", "millrace/still")));
    }

    [Fact]
    public async Task Host_applies_its_retention_on_a_full_store()
    {
        await FillAsync(entries: 10, settled: 3);

        await using var host = await ConsumerHost.StartAsync(m => m.AddRetention("orders", retention => retention.MaxCount = 0), Store);

        await Eventually.TrueAsync("what is settled is dropped", async () => (await Store.GetStreamInfoAsync("orders"))!.Length == 7);
    }

    [Fact]
    public async Task Reader_of_an_ordered_group_renews_its_lease_on_a_full_store_and_goes_on()
    {
        var lease = TimeSpan.FromSeconds(33);
        var time = new ManualTimeProvider();
        var (started, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        var renewals = 0;
        var counting = FaultyStore.Wrap(Store, member =>
        {
            if (member == nameof(IStreamStore.ExtendAsync))
                Interlocked.Increment(ref renewals);
            return FaultyStore.Fault.None;
        });
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                "orders",
                Group,
                async (_, _, token) =>
                {
                    started.TrySetResult();
                    await finish.Task.WaitAsync(token);
                },
                o => (o.OrderedBy, o.Lease, o.HandlerTimeout) = (nameof(OrderCreated.OrderId), lease, Timeout.InfiniteTimeSpan)),
            counting,
            time);
        await host.Publisher.PublishManyAsync<OrderCreated>("orders", [new("a", 1), new("a", 2), new("b", 1)]);
        await started.Task.WaitAsync(Eventually.Deadline);

        await _limited.FillAsync();
        for (var i = 1; i <= 6; i++)
        {
            // The reader has its answer when it waits for the next renewal, and for the end of a lease that began anew. The messages' leases have theirs
            // when they are renewed once more: without, three of these steps were a lease that nobody answered for.
            time.Advance(lease / 3);
            await time.WaitForTimerAsync(lease);
            await Eventually.TrueAsync("the messages' leases are being renewed", () => new(Volatile.Read(ref renewals) >= i));
        }

        finish.SetResult();
        await host.WhenSettledAsync("orders", Group);
    }

    [Fact]
    public async Task Failing_messages_in_every_slot_are_retried_and_become_letters_on_a_full_store_and_the_others_go_on()
    {
        await using var host = await StartAsync(o => (o.Concurrency, o.MaxAttempts) = (2, 2));
        await Store.AppendAsync("orders", EntryFields.Create(("v", "no message")));
        await PublishAsync(host, "bad1", "bad2", "bad3", "shy1", "good1");
        await WhenStartedAsync(2);
        await _limited.FillAsync();
        _filled.SetResult();

        await WhenHandledAsync("good1", "shy1");
        Assert.Equal(4, (await host.ReadAsync(StreamNames.DeadLetters("orders", Group), 4)).Count);
        await WhenAllIsSettledAsync(host);
        await _limited.CheckIsFullAsync();
    }

    [Theory]
    [InlineData("killed")]
    [InlineData("stopped")]
    [InlineData("started again")]
    public async Task Reader_of_an_ordered_group_is_succeeded_on_a_full_store_and_its_keys_fail_and_go_on(string how)
    {
        void Order(ConsumerOptions options)
        {
            (options.OrderedBy, options.MaxAttempts) = (nameof(OrderCreated.OrderId), 2);
            options.Lease = how == "killed" ? TimeSpan.FromSeconds(1) : TimeSpan.FromHours(1);
        }

        await using var first = await StartAsync(Order, "one");
        await PublishAsync(first, "good1", "shy1", "bad1", "good1");
        await WhenStartedAsync(3);
        await _limited.FillAsync();
        if (how != "stopped")
            await first.AbortAsync();
        _filled.SetResult();
        if (how == "stopped")
            await first.StopAsync();

        await using var second = await StartAsync(Order, how == "started again" ? "one" : "two");

        await second.WhenSettledAsync("orders", Group);
        Assert.Equal(2, _handled.Count(id => id == "good1"));
        Assert.Single(_handled, "shy1");
        Assert.Single(await Store.RangeAsync(StreamNames.DeadLetters("orders", Group), new()));
        await _limited.CheckIsFullAsync();
    }

    [Fact]
    public async Task Parked_key_is_resumed_and_skipped_on_a_full_store()
    {
        await using var host = await StartAsync(
            o => (o.OrderedBy, o.MaxAttempts, o.WhenExhausted) = (nameof(OrderCreated.OrderId), 1, WhenExhausted.Park));
        await PublishAsync(host, "bad1", "shy1");
        _filled.SetResult();
        var parked = host.Host.Services.GetRequiredService<ParkedKeys>().Of("orders", Group);
        foreach (var key in (string[])["bad1", "shy1"])
            await Eventually.TrueAsync($"{key} is parked", async () => await parked.FindAsync(key) is { IsExhausted: true });
        await _limited.FillAsync();

        Assert.True(await parked.ResumeAsync("shy1", "me"));
        Assert.True(await parked.SkipAsync("bad1", "me"));

        await host.WhenSettledAsync("orders", Group);
        Assert.Equal(["shy1"], _handled);
        await _limited.CheckIsFullAsync();
    }

    /// <summary>Its commits wait for memory, and nothing more of it is read until they are through: the places were kept for it for ever.</summary>
    [Fact]
    public async Task Lane_whose_handlers_publish_on_a_full_store_leaves_its_places_to_the_others()
    {
        const int each = 200;
        await using var host = await ConsumerHost.StartAsync(
            m => m
                .AddLanes("orders", lanes => lanes.Add("express", 8))
                .AddConsumer<OrderCreated>("orders", Group, async (order, context, token) =>
                {
                    await RunAsync(order.OrderId, token);
                    if (context.Lane is not null)
                        context.Publish(StreamNames.Derive("orders", "paid"), new OrderPaid(order.OrderId));
                }),
            Store);
        string[] ids = [.. Enumerable.Range(1, each).Select(number => $"good{number}")];
        foreach (var lane in (string?[])["express", null])
            await host.Publisher.PublishManyAsync("orders", [.. ids.Select(id => new OrderCreated($"{id}{lane}", 1))], new() { Lane = lane });
        foreach (var stream in (string[])["orders", StreamNames.Lane("orders", "express")])
            await Eventually.TrueAsync("the lane is read", async () => (await Store.GetGroupsAsync(stream)) is [{ PendingCount: > 0 }]);
        await _limited.LimitAsync(1); // What is acknowledged makes room for nothing; nor could a worker begin.
        _filled.SetResult();

        await host.WhenSettledAsync("orders", Group);
        Assert.Empty(ids.Except(_handled));
        Assert.NotEqual(0, (await Store.PendingSummaryAsync(StreamNames.Lane("orders", "express"), Group)).Count);
        await _limited.CheckIsFullAsync();

        await _limited.LimitAsync(0);
        await host.WhenSettledAsync(StreamNames.Lane("orders", "express"), Group);
    }

    [Theory]
    [InlineData("rate limit")]
    [InlineData("deduplication")]
    [InlineData("documents of settlements")]
    public async Task Group_that_keeps_documents_goes_on_on_a_full_store(string why)
    {
        await using var host = await StartAsync(o =>
        {
            o.Concurrency = 1;
            if (why == "rate limit")
                (o.RateLimit, o.RatePeriod) = (10, TimeSpan.FromMilliseconds(500));
            else if (why == "deduplication")
                o.DeduplicationWindow = TimeSpan.FromHours(1);
            else
                o.OnSettling = static (settling, _) =>
                {
                    settling.Enlist(new CommitChange.PutState(new("orders", $"done/{settling.Message.EntryId}"), default));
                    return ValueTask.CompletedTask;
                };
        });
        string[] ids = [.. Enumerable.Range(1, 10).Select(number => $"good{number}")];
        await PublishAsync(host, ids);
        await WhenStartedAsync(1);
        await _limited.FillAsync();
        _filled.SetResult();

        await WhenHandledAsync(ids);
        await host.WhenSettledAsync("orders", Group);
        await _limited.CheckIsFullAsync();
    }

    [Fact]
    public async Task Jobs_begin_fail_and_end_on_a_full_store()
    {
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddJob<OrderPaid, int>(
                "work",
                async (order, _, token) =>
                {
                    await RunAsync(order.OrderId, token);
                    return 7;
                },
                o => (o.Concurrency, o.MaxAttempts) = (1, 1)),
            Store);
        var queue = host.Host.Services.GetRequiredKeyedService<JobQueue>("work");
        var bad = await queue.EnqueueAsync(new OrderPaid("bad1"));
        var good = await queue.EnqueueAsync(new OrderPaid("good1"));
        await WhenStartedAsync(1);
        await _limited.FillAsync();
        _filled.SetResult();

        Assert.Equal(7, await good.ResultAsync<int>(Eventually.Deadline));
        Assert.Equal(JobState.Failed, (await bad.GetStatusAsync())!.State);
        await _limited.CheckIsFullAsync();
    }

    [Fact]
    public async Task Worker_says_on_a_full_store_that_it_lives_and_where_its_group_stands()
    {
        await using var first = await StartAsync(_ => { });
        await PublishAsync(first, "good1");
        await WhenStartedAsync(1);
        await _limited.FillAsync();
        await using var second = await StartAsync(_ => { }, "two");
        _filled.SetResult();
        await second.WhenSettledAsync("orders", Group);

        await Eventually.TrueAsync("it says so", async () => await Store.GetStateAsync(ConsumerRegistry.KeyOf("orders", Group, "two")) is not null);
        var last = (await Store.GetStreamInfoAsync("orders"))!.LastGeneratedId;
        await Eventually.TrueAsync("it is noted what is settled", async () =>
            GroupLedger.Read(await Store.GetStateAsync(RecoveryLedger.KeyOf("orders", Group)))?.SettledThrough == last);
        await _limited.CheckIsFullAsync();
    }

    [Fact]
    public async Task Projection_is_left_and_taken_over_on_a_full_store()
    {
        Task<ConsumerHost> ProjectAsync() => ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddMessage<PointsSpent>()
                .AddProjection("tallies", "points", Tally.Folds, options => options.Lease = TimeSpan.FromHours(1)),
            Store);
        static Task WhenAsync(ConsumerHost host, ProjectionState state) => Eventually.TrueAsync(
            $"the projection is {state}", () => new(host.Host.Services.GetRequiredService<ProjectionControl>().Local[0].State == state));

        await using var first = await ProjectAsync();
        await WhenAsync(first, ProjectionState.Live);
        await using var second = await ProjectAsync();
        await WhenAsync(second, ProjectionState.StandingBy);
        await _limited.FillAsync();

        await first.StopAsync();

        await WhenAsync(second, ProjectionState.Live);
        await _limited.CheckIsFullAsync();
    }

    /// <summary>The first messages fail, so that nothing behind them can be dropped before they are out of the way.</summary>
    [Fact]
    public async Task Full_store_makes_room_with_nobodys_help()
    {
        await using var host = await StartAsync(
            o => (o.Concurrency, o.Prefetch, o.MaxAttempts) = (2, 1, 1),
            configureMore: m => m
                .AddRetention("orders", retention => retention.MaxCount = 0)
                .Configure(options => options.RetentionInterval = TimeSpan.FromSeconds(1)));

        // Before the group is there, retention keeps nothing for it.
        await Eventually.TrueAsync("the group is there", async () => (await Store.GetGroupsAsync("orders")).Any(group => group.Name == Group));
        await PublishAsync(host, ["bad1", "bad2", "bad3", .. Enumerable.Repeat($"good{new string('x', 100_000)}", 60)]);
        await WhenStartedAsync(2);
        await _limited.LimitToWhatIsUsedAsync();

        _filled.SetResult();

        await Eventually.TrueAsync("publishers find room", async () =>
        {
            try
            {
                await PublishAsync(host, "good1");
                return true;
            }
            catch (StreamException exception) when (exception.Code == StreamErrorCode.OutOfMemory)
            {
                return false;
            }
        });
        await WhenHandledAsync("good1");
    }

    private Task<ConsumerHost> StartAsync(
        Action<ConsumerOptions> configure, string instance = "one", Action<MillraceBuilder>? configureMore = null) => ConsumerHost.StartAsync(
            m =>
            {
                m.AddConsumer<OrderCreated>("orders", Group, (order, _, token) => RunAsync(order.OrderId, token), options =>
                {
                    options.RetryBaseDelay = TimeSpan.FromMilliseconds(1);
                    configure(options);
                });
                configureMore?.Invoke(m);
            },
            Store,
            instance: instance);

    /// <summary>A handler that waits until the store is full, and then fails always, the first time, or never.</summary>
    private async Task RunAsync(string id, CancellationToken cancellationToken)
    {
        _started.Release();
        await _filled.Task.WaitAsync(cancellationToken);
        if (id.StartsWith("bad", StringComparison.Ordinal) || (id.StartsWith("shy", StringComparison.Ordinal) && _hasFailed.TryAdd(id, true)))
            throw new InvalidOperationException("no money");
        _handled.Enqueue(id);
    }

    private static async Task PublishAsync(ConsumerHost host, params string[] ids)
    {
        foreach (var id in ids)
            await host.Publisher.PublishAsync("orders", new OrderCreated(id, 1));
    }

    private async Task WhenStartedAsync(int handlers)
    {
        for (var i = 0; i < handlers; i++)
            Assert.True(await _started.WaitAsync(Eventually.Deadline));
    }

    private Task WhenHandledAsync(params string[] ids) =>
        Eventually.TrueAsync($"{string.Join(", ", ids)} are handled", () => new(ids.All(_handled.Contains)));

    /// <summary>Nothing is left in the group's private stream, either.</summary>
    private async Task WhenAllIsSettledAsync(ConsumerHost host)
    {
        await host.WhenSettledAsync("orders", Group);
        await host.WhenSettledAsync(StreamNames.Again("orders", Group), Group);
    }

    /// <summary>Entries of which a group that is away has settled some, on a store that then is full.</summary>
    private async Task FillAsync(int entries, int settled)
    {
        await Store.CreateGroupAsync("orders", Group, GroupStart.Beginning);
        var ids = await Store.AppendManyAsync("orders", [.. Enumerable.Repeat(EntryFields.Create(("type", "x")), entries)]);
        await Store.ReadGroupAsync(new() { Group = Group, Consumer = "away", Streams = ["orders"], Count = entries });
        await Store.AckAsync("orders", Group, [.. ids.Take(settled)]);
        await _limited.LimitAsync(1);
    }
}
