using Microsoft.Extensions.DependencyInjection;
using Millrace.Consuming.Ordered;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Ordered;

/// <summary>What becomes of an ordered group when its reader changes.</summary>
public abstract partial class OrderedContract
{
    // Longer than any test may take: whoever waits for it to end, fails.
    private static readonly TimeSpan Endless = TimeSpan.FromHours(1);

    [Fact]
    public async Task One_of_two_hosts_reads_and_leaves_the_group_to_the_other_at_once_when_it_stops()
    {
        await using var first = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.Lease = Endless, "one");
        await PublishAsync(first, 1, "a");
        await first.WhenSettledAsync(_stream, Group);
        var byOther = 0;
        await using var second = await StartAsync((order, context, _) =>
        {
            Interlocked.Increment(ref byOther);
            return HandleAsync(order, context);
        }, o => o.Lease = Endless, "two");
        await StandsByAsync(second);
        await PublishAsync(first, 2, "a", "b");
        await first.WhenSettledAsync(_stream, Group);
        Assert.Equal(0, byOther);

        await first.StopAsync();
        await PublishAsync(second, 3, "a", "b");
        await second.WhenSettledAsync(_stream, Group);

        Assert.Equal(2, byOther);
        Assert.Equal([1, 2, 3], _handled.Where(item => item.Key == "a").Select(item => item.Number));
    }

    [Fact]
    public async Task Stopping_reader_lets_handlers_end_and_leaves_the_rest_where_it_is()
    {
        var started = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        await using (var first = await StartAsync(async (order, context, _) =>
        {
            started.TrySetResult();
            await gate.Task;
            await HandleAsync(order, context);
        }, o => (o.Lease, o.Concurrency) = (Endless, 1), "one"))
        {
            for (var number = 1; number <= 5; number++)
                await PublishAsync(first, number, "a", "b");
            await started.Task.WaitAsync(Eventually.Deadline);
            var stop = first.StopAsync();
            Assert.False(stop.IsCompleted);
            gate.SetResult();
            await stop.WaitAsync(Eventually.Deadline);
        }

        Assert.Single(_handled);
        await using var second = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.Lease = Endless, "two");
        await second.WhenSettledAsync(_stream, Group);
        Assert.All(_handled.GroupBy(item => item.Key), key => Assert.Equal([1, 2, 3, 4, 5], key.Select(item => item.Number)));
        Assert.Equal(0, (await Store.GetStreamInfoAsync(StreamNames.Again(_stream, Group)))!.EntriesAdded);
    }

    [Fact]
    public async Task Handler_cut_short_by_a_stop_counts_neither_an_attempt_nor_a_death()
    {
        var started = new TaskCompletionSource();
        await using (var first = await StartAsync(
            async (_, _, token) =>
            {
                started.TrySetResult();
                await Task.Delay(Timeout.Infinite, token);
            },
            o => o.Lease = Endless,
            "one",
            m => m.Configure(o => o.DrainTimeout = TimeSpan.FromMilliseconds(1))))
        {
            await PublishAsync(first, 1, "a");
            await PublishAsync(first, 2, "a");
            await started.Task.WaitAsync(Eventually.Deadline);
            await first.StopAsync();
        }

        await using var second = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.Lease = Endless, "two");
        await second.WhenSettledAsync(_stream, Group);
        Assert.Equal((1, 1, 1L), (_handled.First().Number, _handled.First().Attempt, _handled.First().Deliveries));
        Assert.Equal([1, 2], _handled.Select(item => item.Number));
    }

    [Fact]
    public async Task Killed_reader_is_succeeded_after_its_lease_and_what_it_left_comes_first_in_order()
    {
        var started = new SemaphoreSlim(0);
        var first = await StartAsync(async (_, _, token) =>
        {
            started.Release();
            await Task.Delay(Timeout.Infinite, token);
        }, o => o.Lease = TimeSpan.FromSeconds(1), "one");
        for (var number = 1; number <= 10; number++)
            await PublishAsync(first, number, "a", "b", "c");
        for (var i = 0; i < 3; i++)
            Assert.True(await started.WaitAsync(Eventually.Deadline));
        await using var second = await StartAsync(
            (order, context, _) => HandleAsync(order, context), o => o.Lease = TimeSpan.FromSeconds(1), "two");
        await StandsByAsync(second);
        await first.AbortAsync();
        await PublishAsync(second, 11, "a", "b", "c");

        await second.WhenSettledAsync(_stream, Group);
        await first.DisposeAsync();

        Assert.All(_handled.GroupBy(item => item.Key), key => Assert.Equal(Enumerable.Range(1, 11), key.Select(item => item.Number)));
        Assert.All(_handled, item => Assert.InRange(item.Deliveries, 1, 2));
        Assert.All(_handled.Where(item => item.Number == 1), item => Assert.Equal(2, item.Deliveries));
    }

    [Fact]
    public async Task Restart_with_a_parked_head_keeps_its_attempts_and_the_order()
    {
        await using (var first = await StartAsync(
            (_, _, _) => throw new InvalidOperationException("no money"),
            Configure))
        {
            await PublishAsync(first, 1, "a");
            await PublishAsync(first, 2, "a");
            await Eventually.TrueAsync("it failed three times", async () => await Parked.FindAsync("a") is { Attempts.Count: >= 3 });
            await first.AbortAsync();
        }

        var attempts = (await Parked.FindAsync("a"))!.Attempts[^1].Attempt;
        await using var second = await StartAsync((order, context, _) => HandleAsync(order, context), Configure);
        await second.WhenSettledAsync(_stream, Group);

        Assert.Equal([(1, attempts + 1), (2, 1)], _handled.Select(item => (item.Number, item.Attempt)));
        Assert.Empty(await Parked.ListAsync().ToListAsync());

        static void Configure(ConsumerOptions options) => (options.Lease, options.RetryBaseDelay, options.RetryMaxDelay, options.MaxAttempts) =
            (Endless, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1), 1_000);
    }

    /// <summary>
    /// The read of a reader that has lost its lease stayed on its way for half a minute, and what it brought waited for the next change of
    /// readers: nobody fences a read.
    /// </summary>
    [Fact]
    public async Task Entry_that_an_earlier_reader_was_given_after_the_change_is_handled_in_its_order()
    {
        await using var host = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.Lease = TimeSpan.FromSeconds(1));
        await PublishAsync(host, 1, "a");
        await host.WhenSettledAsync(_stream, Group);

        var number = await StrayAsync(host, 2);
        await PublishAsync(host, ++number, "a");
        Resume(host);
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(Enumerable.Range(1, number), _handled.Where(item => item.Key == "a").Select(item => item.Number));

        // With nothing behind it, too.
        number = await StrayAsync(host, number + 1);
        Resume(host);
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(Enumerable.Range(1, number), _handled.Where(item => item.Key == "a").Select(item => item.Number));
    }

    /// <summary>Publishes to a paused host until another consumer is given something, which the last read of the host may still prevent.</summary>
    private async Task<int> StrayAsync(ConsumerHost host, int number)
    {
        host.Host.Services.GetRequiredService<ConsumerControl>().Pause(_stream, Group);
        for (var read = new GroupRead { Group = Group, Consumer = "earlier", Streams = [_stream] }; ; number++)
        {
            await PublishAsync(host, number, "a");
            if ((await Store.ReadGroupAsync(read)).Count > 0)
                return number;
        }
    }

    private void Resume(ConsumerHost host) => host.Host.Services.GetRequiredService<ConsumerControl>().Resume(_stream, Group);

    [Fact]
    public async Task Restart_does_what_was_asked_while_nobody_read()
    {
        await using (var first = await StartAsync(
            (_, _, _) => throw new InvalidOperationException("no money"), o => (o.MaxAttempts, o.WhenExhausted) = (1, WhenExhausted.Park)))
        {
            await PublishAsync(first, 1, "a", "b");
            await PublishAsync(first, 2, "a", "b");
            await Eventually.TrueAsync("both are parked", async () => (await Parked.ListAsync().ToListAsync()).Count == 2);
            await first.StopAsync();
        }

        Assert.True(await Parked.SkipAsync("a", "ann"));
        Assert.True(await Parked.ResumeAsync("b", "ann"));
        await using var second = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.WhenExhausted = WhenExhausted.Park);
        await second.WhenSettledAsync(_stream, Group);

        Assert.Equal([2], _handled.Where(item => item.Key == "a").Select(item => item.Number));
        Assert.Equal([1, 2], _handled.Where(item => item.Key == "b").Select(item => item.Number));
        Assert.Equal(1, (await Store.GetStreamInfoAsync(Dead))!.Length);
    }

    [Fact]
    public async Task Reader_that_lost_its_lease_settles_nothing()
    {
        var lost = new TaskCompletionSource();
        var runs = 0;
        await using var host = await StartAsync(async (order, context, _) =>
        {
            if (Interlocked.Increment(ref runs) == 1)
            {
                await StealAsync();
                context.LeaseLost.Register(lost.SetResult);
            }

            context.Publish($"{_stream}-done", new OrderPaid(order.OrderId));
            await HandleAsync(order, context);
        }, o => o.Lease = TimeSpan.FromSeconds(1));
        await PublishAsync(host, 1, "a");

        await lost.Task.WaitAsync(Eventually.Deadline);
        Assert.Null(await Store.GetStreamInfoAsync($"{_stream}-done"));

        // The thief never renews it, so it is taken back.
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal([1L, 2L], _handled.Select(item => item.Deliveries));
        Assert.Single(await Store.RangeAsync($"{_stream}-done", new()));
    }

    [Fact]
    public async Task Message_that_kills_its_process_is_dead_and_its_key_goes_on()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await using var host = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.MaxDeliveries = 3);
        await host.StopAsync();
        await PublishAsync(host, 1, "a", "b");
        await PublishAsync(host, 2, "a", "b");
        var ids = (await Store.RangeAsync(_stream, new())).Select(entry => entry.Id).ToList();
        await Store.ReadGroupAsync(new() { Group = Group, Consumer = "dead", Streams = [_stream] });
        for (var i = 1; i < 3; i++)
            await Store.ClaimAsync(_stream, Group, new() { Consumer = "dead", Ids = [ids[0]], MinIdleTime = TimeSpan.Zero });

        await using var second = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.MaxDeliveries = 3);
        await second.WhenSettledAsync(_stream, Group);

        var letter = Assert.Single(await new Millrace.DeadLetters(Store).Of(_stream, Group).ListAsync().ToListAsync());
        Assert.Equal((DeadLetterReasons.DeliveryLimit, ids[0]), (letter.Reason, letter.Headers.SourceId));
        Assert.Equal([2], _handled.Where(item => item.Key == "a").Select(item => item.Number));
        Assert.Equal([1, 2], _handled.Where(item => item.Key == "b").Select(item => item.Number));
    }

    [Fact]
    public async Task Group_that_vanishes_is_made_again_and_goes_on()
    {
        await using var host = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.Lease = TimeSpan.FromSeconds(1));
        await PublishAsync(host, 1, "a");
        await host.WhenSettledAsync(_stream, Group);

        await Store.DestroyGroupAsync(_stream, Group);
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("it is handled", () => new(_handled.Any(item => item.Number == 2)));

        await host.WhenSettledAsync(_stream, Group);
    }

    private static Task StandsByAsync(ConsumerHost host)
    {
        var service = (Millrace.Hosting.MillraceService)host.Host.Services.GetService(typeof(Millrace.Hosting.MillraceService))!;
        return Eventually.TrueAsync("it stands by", () => new(service.Consumers.Single().Current.State == WorkerState.StandingBy));
    }

    private async Task StealAsync()
    {
        var names = new OrderNames(_stream, Group);
        await Store.CommitAsync(new Commit
        {
            Changes = [new CommitChange.PutState(names.Reader, "thief\n1"u8.ToArray()), new CommitChange.PutState(names.Pulse, "thief\n1"u8.ToArray())],
        });
    }
}
