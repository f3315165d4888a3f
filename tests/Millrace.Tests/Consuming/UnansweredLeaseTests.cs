using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>Leases of 30 s whose renewal, each 10 s, is not answered, or not in time. The clock stands still, but on Redis.</summary>
public sealed class UnansweredLeaseTests : IAsyncLifetime
{
    private readonly ManualTimeProvider _time = new();
    private readonly EmbeddedStreamStore _store;

    public UnansweredLeaseTests() => _store = new(new(), _time);

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    /// <summary>A renewal may take longer than a lease to fail: a line that is half open, and then a server that cannot be reached.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Handler_is_told_after_a_lease_without_an_answer_however_long_the_store_is_silent(int failures)
    {
        var renewals = 0;
        var silent = FaultyStore.Wrap(_store, member => member != nameof(IStreamStore.ExtendAsync)
            ? FaultyStore.Fault.None
            : Interlocked.Increment(ref renewals) <= failures ? FaultyStore.Fault.Before : FaultyStore.Fault.Silent);
        var started = new SemaphoreSlim(0);
        var told = new ConcurrentQueue<string>();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, _) =>
            {
                var lost = new TaskCompletionSource();
                using var registration = context.LeaseLost.Register(lost.SetResult);
                started.Release();
                await lost.Task;
                told.Enqueue(order.OrderId);
            }, o => (o.Concurrency, o.HandlerTimeout) = (3, Timeout.InfiniteTimeSpan)),
            silent, _time);

        await BeginAsync("at 0 s", wait: 2);
        await BeginAsync("at 2 s", wait: 8);
        await Eventually.TrueAsync("the leases are being renewed", () => new(Volatile.Read(ref renewals) == 1));
        _time.Advance(TimeSpan.FromSeconds(2));
        await BeginAsync("at 12 s", wait: 0);

        // Of the last one the renewal that is on its way may know nothing.
        await AdvanceAndSeeAsync(17.9);
        await AdvanceAndSeeAsync(0.1, "at 0 s");
        await AdvanceAndSeeAsync(1.9, "at 0 s");
        await AdvanceAndSeeAsync(0.1, "at 0 s", "at 2 s");
        await AdvanceAndSeeAsync(9.9, "at 0 s", "at 2 s");
        await AdvanceAndSeeAsync(0.1, "at 0 s", "at 2 s", "at 12 s");

        async Task BeginAsync(string order, int wait)
        {
            await host.Publisher.PublishAsync("orders", new OrderCreated(order, 1));
            Assert.True(await started.WaitAsync(Eventually.Deadline));
            _time.Advance(TimeSpan.FromSeconds(wait));
        }

        async Task AdvanceAndSeeAsync(double seconds, params string[] expected)
        {
            _time.Advance(TimeSpan.FromSeconds(seconds));
            await Eventually.TrueAsync("all whose lease is over are told", () => new(told.Count >= expected.Length));
            Assert.Equal(expected, told);
        }
    }

    /// <summary>The line is half open, and the command that renews has far longer than the lease.</summary>
    [Fact]
    public async Task Handler_is_told_of_its_lease_on_redis_before_the_renewal_fails()
    {
        await using var server = await RedisServer.StartAsync();
        await using var proxy = CuttingProxy.Start(server.Port);
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = proxy.Port, CommandTimeout = TimeSpan.FromHours(1) });
        var started = new TaskCompletionSource();
        var told = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (_, context, _) =>
            {
                using var registration = context.LeaseLost.Register(() => told.TrySetResult());
                started.TrySetResult();
                await told.Task;
            }, o => o.Lease = TimeSpan.FromSeconds(1)),
            store);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await started.Task.WaitAsync(Eventually.Deadline);

        proxy.BlackHole();
        try
        {
            await told.Task.WaitAsync(Eventually.Deadline);
        }
        finally
        {
            proxy.Restore();
            told.TrySetResult();
        }
    }

    [Fact]
    public async Task Process_that_was_frozen_for_longer_than_the_lease_asks_before_it_gives_up_what_nobody_took()
    {
        var (process, line) = (new Freezer(), new Freezer());
        var renewals = 0;
        var store = TellRenewals(line, () => Interlocked.Increment(ref renewals));
        var started = new TaskCompletionSource<MessageContext>();
        var end = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (_, context, token) =>
            {
                started.SetResult(context);
                await end.Task.WaitAsync(token);
            }, o => o.HandlerTimeout = Timeout.InfiniteTimeSpan),
            store, process.Slow(_time));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var context = await started.Task.WaitAsync(Eventually.Deadline);

        process.Freeze();
        _time.Advance(TimeSpan.FromSeconds(40));
        line.Freeze();
        process.Thaw();
        await Eventually.TrueAsync("it asks", () => new(Volatile.Read(ref renewals) > 0));
        _time.Advance(TimeSpan.FromSeconds(9.9));
        line.Thaw();

        await Eventually.TrueAsync("the lease is renewed", async () => (await PendingAsync())[0].IdleTime == TimeSpan.Zero);
        Assert.False(context.LeaseLost.IsCancellationRequested);
        end.SetResult();
        await host.WhenSettledAsync("orders", "billing");
    }

    /// <summary>The last turn of the watch over a silent store set it again, after the answer had ended it, and it was due before the process asked.</summary>
    [Fact]
    public async Task Process_that_is_frozen_after_an_answer_that_crossed_with_the_end_of_a_lease_asks_before_it_gives_up_another()
    {
        var (process, line) = (new Freezer(), new Freezer());
        var renewals = 0;
        var store = TellRenewals(line, () => Interlocked.Increment(ref renewals));
        using var started = new SemaphoreSlim(0);
        var lost = new ConcurrentDictionary<string, CancellationToken>();
        var end = new TaskCompletionSource();
        using var log = new HeldUpLog(EventIds.LeaseLost);
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, token) =>
            {
                lost.TryAdd(order.OrderId, context.LeaseLost); // The first comes again when its handler has ended.
                started.Release();
                await end.Task.WaitAsync(token);
            }, o => o.HandlerTimeout = Timeout.InfiniteTimeSpan),
            store, process.Slow(_time), log: log);
        await Eventually.TrueAsync("the worker began, with its renewals", async () => (await _store.GetGroupsAsync("orders")).Count == 1);
        _time.Advance(TimeSpan.FromSeconds(5)); // No lease ends when a renewal is due.
        await BeginAsync("o1");
        line.Freeze();
        _time.Advance(TimeSpan.FromSeconds(5));
        await Eventually.TrueAsync("the lease is being renewed", () => new(Volatile.Read(ref renewals) == 1));

        // The lease is over, and before the watch is through the answer comes, and that of a renewal that was due meanwhile.
        var advancing = Task.Run(() => _time.Advance(TimeSpan.FromSeconds(25)));
        await log.Reached.WaitAsync(Eventually.Deadline);
        line.Thaw();
        await Eventually.TrueAsync("the lease is renewed again", async () =>
            Volatile.Read(ref renewals) == 2 && (await PendingAsync())[0].IdleTime == TimeSpan.Zero);
        await BeginAsync("o2");
        log.Release();
        await advancing;

        process.Freeze();
        _time.Advance(TimeSpan.FromSeconds(40));
        line.Freeze();
        process.Thaw();
        await Eventually.TrueAsync("it asks", () => new(Volatile.Read(ref renewals) == 3));
        line.Thaw();

        await Eventually.TrueAsync("the lease is renewed", async () => (await PendingAsync()).All(entry => entry.IdleTime == TimeSpan.Zero));
        Assert.True(lost["o1"].IsCancellationRequested);
        Assert.False(lost["o2"].IsCancellationRequested);
        end.SetResult();

        async Task BeginAsync(string order)
        {
            await host.Publisher.PublishAsync("orders", new OrderCreated(order, 1));
            Assert.True(await started.WaitAsync(Eventually.Deadline));
        }
    }

    /// <summary>A process frozen for longer than the lease, as it finds its queue: nobody has told it yet what it lost.</summary>
    [Fact]
    public async Task Entry_that_waited_unrenewed_for_a_lease_is_given_up_before_its_handler_begins()
    {
        var process = new Freezer();
        var reads = 0;
        var store = FaultyStore.Wrap(_store, member =>
        {
            if (member == nameof(IStreamStore.ReadGroupAsync))
                Interlocked.Increment(ref reads);
            return FaultyStore.Fault.None;
        });
        var begun = new List<string>();
        var end = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, _) =>
            {
                begun.Add(order.OrderId);
                if (order.OrderId == "o1")
                    await end.Task;
                context.Publish("done", new OrderPaid(order.OrderId));
            }, o => (o.Concurrency, o.Prefetch, o.HandlerTimeout) = (1, 2, Timeout.InfiniteTimeSpan)),
            store, process.Slow(_time));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var waiting = await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 1));
        await Eventually.TrueAsync("both are held, and a third read waits", async () =>
            (await _store.GetGroupsAsync("orders")) is [{ PendingCount: 2 }] && Volatile.Read(ref reads) == 3);

        process.Freeze();
        _time.Advance(TimeSpan.FromSeconds(40));
        await _store.ClaimAsync("orders", "billing", new() { Consumer = "thief", Ids = [waiting], MinIdleTime = TimeSpan.Zero });
        end.SetResult();
        await host.Publisher.PublishAsync("orders", new OrderCreated("o3", 1));
        await Eventually.TrueAsync("the third is handled", () => ValueTask.FromResult(begun.Contains("o3")));

        process.Thaw();
        Assert.Equal(["o1", "o3"], begun);
    }

    /// <summary>The store behind a line on which renewals can be frozen.</summary>
    private IStreamStore TellRenewals(Freezer line, Action asked) => FaultyStore.Wrap(line.Slow(_store, nameof(IStreamStore.ExtendAsync)), member =>
    {
        if (member == nameof(IStreamStore.ExtendAsync))
            asked();
        return FaultyStore.Fault.None;
    });

    private ValueTask<IReadOnlyList<PendingEntry>> PendingAsync() => _store.PendingAsync("orders", "billing", new());
}
