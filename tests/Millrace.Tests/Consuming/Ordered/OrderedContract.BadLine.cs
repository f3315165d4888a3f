using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using static Millrace.Tests.Fixtures.FaultyStore;

namespace Millrace.Tests.Consuming.Ordered;

/// <summary>What an ordered group does when the line to the store breaks in the worst moment.</summary>
public abstract partial class OrderedContract
{
    /// <summary>A read that was cancelled behind a line that was dead had been given an entry, which then waited for the next reader.</summary>
    [Fact]
    public async Task Entry_given_to_a_read_that_a_pause_cancelled_on_a_dead_line_is_handled_in_its_order()
    {
        int isDead = 0, wasDead = 0;
        await using var host = await StartAsync(
            (order, context, _) => HandleAsync(order, context),
            o => o.Lease = Endless,
            store: Wrap(Store, call =>
            {
                if (call != "ReadGroupAsync" || Interlocked.CompareExchange(ref isDead, 0, 1) != 1)
                    return Fault.None;
                Volatile.Write(ref wasDead, 1);
                return Fault.Silent;
            }));
        await PublishAsync(host, 1, "a");
        await host.WhenSettledAsync(_stream, Group);

        // The read that waits now is well; the one after it is dead, and its answer comes to nobody.
        Volatile.Write(ref isDead, 1);
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("the dead read is there", () => new(Volatile.Read(ref wasDead) == 1));
        await PublishAsync(host, 3, "a");
        host.Host.Services.GetRequiredService<ConsumerControl>().Pause(_stream, Group);
        await PublishAsync(host, 4, "a");
        Resume(host);
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(Enumerable.Range(1, 4), _handled.Select(item => item.Number));
    }

    /// <summary>The read after a broken one found nothing yet; then the broken one, which still waited at the store, was given an entry.</summary>
    [Fact]
    public async Task Entry_given_to_a_broken_read_after_the_repair_is_handled_in_its_order()
    {
        int isBroken = 0, readsSince = -1;
        await using var host = await StartAsync(
            (order, context, _) => HandleAsync(order, context),
            o => o.Lease = Endless,
            store: Wrap(Store, call =>
            {
                if (call != "ReadGroupAsync")
                    return Fault.None;
                if (Volatile.Read(ref readsSince) >= 0)
                    Interlocked.Increment(ref readsSince);
                if (Interlocked.CompareExchange(ref isBroken, 0, 1) != 1)
                    return Fault.None;
                Volatile.Write(ref readsSince, 0);
                return Fault.Behind;
            }));
        await PublishAsync(host, 1, "a");
        await host.WhenSettledAsync(_stream, Group);

        // The read that waits now was not broken; the one after it is.
        Volatile.Write(ref isBroken, 1);
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("a read follows the broken one", () => new(Volatile.Read(ref readsSince) >= 1));
        for (var number = 3; number <= 6; number++)
            await PublishAsync(host, number, "a");
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(Enumerable.Range(1, 6), _handled.Select(item => item.Number));
    }

    /// <summary>A process that came back under its name never found what the store had given to the read of the one that died.</summary>
    [Fact]
    public async Task Entry_given_to_the_read_of_a_dead_process_of_the_same_name_is_handled_in_its_order()
    {
        int isDead = 0, wasDead = 0, reads = 0;
        var first = await StartAsync(
            (order, context, _) => HandleAsync(order, context),
            o => o.Lease = Endless,
            store: Wrap(Store, call =>
            {
                if (call != "ReadGroupAsync" || Interlocked.CompareExchange(ref isDead, 0, 1) != 1)
                    return Fault.None;
                Volatile.Write(ref wasDead, 1);
                return Fault.Silent;
            }));
        await PublishAsync(first, 1, "a");
        await first.WhenSettledAsync(_stream, Group);

        // The read that waits now is well; the one after it still waits at the store when its process is gone.
        Volatile.Write(ref isDead, 1);
        await PublishAsync(first, 2, "a");
        await first.WhenSettledAsync(_stream, Group);
        await Eventually.TrueAsync("the dead read is there", () => new(Volatile.Read(ref wasDead) == 1));
        var dying = first.AbortAsync();
        await using var second = await StartAsync(
            (order, context, _) => HandleAsync(order, context),
            o => o.Lease = Endless,
            store: Wrap(Store, call =>
            {
                if (call == "ReadGroupAsync")
                    Interlocked.Increment(ref reads);
                return Fault.None;
            }));
        await Eventually.TrueAsync("its successor reads", () => new(Volatile.Read(ref reads) == 1));
        Assert.False(dying.IsCompleted);
        await PublishAsync(second, 3, "a");
        await PublishAsync(second, 4, "a");
        await second.WhenSettledAsync(_stream, Group);

        Assert.Equal(Enumerable.Range(1, 4), _handled.Select(item => item.Number));
        await dying;
        await first.DisposeAsync();
    }

    /// <summary>One commit that failed took the request with it, and all after it until the reader changed.</summary>
    [Theory]
    [InlineData(Fault.Before)]
    [InlineData(Fault.After)]
    public async Task Resume_that_was_asked_for_while_commits_failed_is_done_once_they_go_through(object fault)
    {
        int isBroken = 0, broken = 0, isFixed = 0;
        await using var host = await StartAsync(
            (order, context, _) => Volatile.Read(ref isFixed) == 0 ? throw new InvalidOperationException("no money") : HandleAsync(order, context),
            o => (o.MaxAttempts, o.WhenExhausted, o.Lease) = (1, WhenExhausted.Park, Endless),
            store: Wrap(Store, call =>
            {
                if (call != "CommitAsync" || Volatile.Read(ref isBroken) == 0)
                    return Fault.None;
                Interlocked.Increment(ref broken);
                return (Fault)fault;
            }));
        await PublishAsync(host, 1, "a");
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("the key is parked for good", async () => await Parked.FindAsync("a") is { IsExhausted: true });

        Volatile.Write(ref isFixed, 1);
        Volatile.Write(ref isBroken, 1);
        Assert.True(await Parked.ResumeAsync("a", "ann"));
        await Eventually.TrueAsync("it failed a few times", () => new(Volatile.Read(ref broken) >= 3));
        Volatile.Write(ref isBroken, 0);
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal([1, 2], _handled.Select(item => item.Number));
        Assert.Equal(0, (await Store.GetStreamInfoAsync(StreamNames.Order(_stream, Group)))!.Length);
    }

    /// <summary>The claim of its turn was answered when the lease was lost already: its handler ran beside the next reader's.</summary>
    [Fact]
    public async Task Turn_taken_in_the_moment_the_lease_is_lost_does_not_run()
    {
        var claimed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var isFixed = 0;
        await using var host = await StartAsync(
            (order, context, _) => Volatile.Read(ref isFixed) == 0 ? throw new InvalidOperationException("no money") : HandleAsync(order, context),
            o => (o.MaxAttempts, o.Lease) = (20, TimeSpan.FromSeconds(1)),
            store: Wrap(Store, call => call == "ClaimAsync" && claimed.TrySetResult() ? Fault.Late : Fault.None));
        await PublishAsync(host, 1, "a");
        await claimed.Task.WaitAsync(Eventually.Deadline);
        Volatile.Write(ref isFixed, 1);

        await StealAsync();
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(1, Assert.Single(_handled).Number);
    }

    /// <summary>A handler deaf to its token ran on, and the next tenure of the same process ran its message beside it.</summary>
    [Fact]
    public async Task Message_of_a_handler_that_ignores_the_loss_of_the_lease_does_not_run_beside_it_in_its_process()
    {
        int runs = 0, running = 0, most = 0, looks = 0;
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await StartAsync(
            async (order, context, _) =>
            {
                InterlockedMax(ref most, Interlocked.Increment(ref running));
                if (Interlocked.Increment(ref runs) == 1)
                {
                    await StealAsync();
                    await gate.Task;
                }

                await HandleAsync(order, context);
                Interlocked.Decrement(ref running);
            },
            o => o.Lease = TimeSpan.FromSeconds(1),
            store: Wrap(Store, (_, arguments) =>
            {
                if (arguments.Any(argument => argument is PendingQuery { Count: 1 }))
                    Interlocked.Increment(ref looks);
                return Fault.None;
            }));
        await PublishAsync(host, 1, "a");
        await PublishAsync(host, 2, "a");

        // The thief never renews it, so it is taken back; again and again the message has its turn.
        await Eventually.TrueAsync("its turn comes twice, or it runs", () => new(Volatile.Read(ref looks) >= 2 || Volatile.Read(ref runs) > 1));
        gate.SetResult();
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(1, most);
        Assert.Equal([1, 1, 2], _handled.Select(item => item.Number));
    }

    /// <summary>As above, with a stop: what nobody began with was not handed back, and counted as a death.</summary>
    [Fact]
    public async Task Turn_taken_in_the_moment_of_a_stop_is_handed_back()
    {
        var claimed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (var first = await StartAsync(
            (_, _, _) => throw new InvalidOperationException("no money"),
            o => (o.MaxAttempts, o.Lease) = (20, Endless),
            "one",
            store: Wrap(Store, call => call == "ClaimAsync" && claimed.TrySetResult() ? Fault.Late : Fault.None)))
        {
            await PublishAsync(first, 1, "a");
            await claimed.Task.WaitAsync(Eventually.Deadline);
            await first.StopAsync();
        }

        await using var second = await StartAsync((order, context, _) => HandleAsync(order, context), o => o.Lease = Endless, "two");
        await second.WhenSettledAsync(_stream, Group);
        Assert.Equal(("a", 1, 2, 1L), Assert.Single(_handled));
    }

    /// <summary>It took its own document for another reader's, and waited for that one's lease to end.</summary>
    [Fact]
    public async Task Reader_whose_take_was_not_answered_takes_the_lease_again_at_once()
    {
        var left = 0;
        await using var host = await StartAsync(
            (order, context, _) => HandleAsync(order, context),
            o => o.Lease = Endless,
            store: Wrap(Store, call => call == "CommitAsync" && Interlocked.Decrement(ref left) >= 0 ? Fault.After : Fault.None));
        await PublishAsync(host, 1, "a");
        await host.WhenSettledAsync(_stream, Group);

        // The second take: the first one goes by the name.
        Volatile.Write(ref left, 3);
        await Store.DestroyGroupAsync(_stream, Group);
        await PublishAsync(host, 2, "a");
        await Eventually.TrueAsync("it is handled", () => new(_handled.Any(item => item.Number == 2)));

        await host.WhenSettledAsync(_stream, Group);
    }
}
