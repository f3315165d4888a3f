using System.Collections.Concurrent;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>Retries that reached the wrong ones, came too often, or never.</summary>
public abstract class RetryIncidentTests(SharedRedis? redis) : IncidentTests(redis)
{
    public sealed class OnEmbedded() : RetryIncidentTests(null);

    public sealed class OnRedis(SharedRedis redis) : RetryIncidentTests(redis);

    /// <summary>A retry was a new entry in the shared stream, so every other group handled it again, under another message ID.</summary>
    [Fact]
    public async Task Nestjs_redisx_and_Wolverine_retry_reaches_the_failing_group_only()
    {
        var attempts = new ConcurrentQueue<(int Attempt, string Id)>();
        var others = new ConcurrentQueue<string>();
        await using var other = await StartAsync((_, context) => others.Enqueue(context.MessageId), group: "shipping");
        await using var failing = await StartAsync((order, context) =>
        {
            attempts.Enqueue((context.Attempt, context.MessageId));
            if (context.Attempt < 3)
                throw new InvalidOperationException("no money");
            context.Publish(Done, new OrderPaid(order.OrderId));
        });

        await failing.Publisher.PublishAsync(Stream, new OrderCreated("o1", 1), new() { MessageId = "m1" });
        await failing.ReadAsync(Done);
        await failing.WhenSettledAsync(Stream, "shipping");

        Assert.Equal([(1, "m1"), (2, "m1"), (3, "m1")], attempts);
        Assert.Equal(["m1"], others);
        Assert.Equal(1, await AddedAsync(Stream));
    }

    /// <summary>The entry was acknowledged before its copy was added: a process that died in between had lost the message.</summary>
    [Theory]
    [InlineData(FaultyStore.Fault.Before)]
    [InlineData(FaultyStore.Fault.After)]
    public async Task Wolverine_process_that_dies_in_a_retry_loses_nothing(FaultyStore.Fault fault)
    {
        var hasFailed = false;
        var settling = new TaskCompletionSource();
        var line = FaultyStore.Wrap(Store, call =>
        {
            if (call != nameof(IStreamStore.CommitAsync) || !Volatile.Read(ref hasFailed))
                return FaultyStore.Fault.None;
            settling.TrySetResult();
            return fault;
        });
        await using (var first = await StartAsync(
            (_, _) =>
            {
                Volatile.Write(ref hasFailed, true);
                throw new InvalidOperationException("no money");
            },
            store: line))
        {
            await PublishAsync("o1");
            await settling.Task.WaitAsync(Eventually.Deadline);
            await first.AbortAsync();
        }

        await using var second = await StartDoneAsync();
        await second.ReadAsync(Done);
        await second.WhenSettledAsync(Stream, Group);
        await second.WhenSettledAsync(Again, Group);
        Assert.Equal(["o1"], await HandledAsync());
    }

    /// <summary>Each process counted for itself, so a message was tried as often as there were processes, times the limit.</summary>
    [Fact]
    public async Task Rebus_1087_attempts_are_counted_in_the_store_and_not_in_each_process()
    {
        var attempts = new ConcurrentQueue<int>();
        List<ConsumerHost> hosts = [];
        for (var i = 0; i < 3; i++)
        {
            hosts.Add(await StartAsync(
                (_, context) =>
                {
                    attempts.Enqueue(context.Attempt);
                    throw new InvalidOperationException("no money");
                },
                o => o.MaxAttempts = 4,
                $"instance{i}"));
        }

        await PublishAsync(hosts[0], "o1");
        await hosts[0].ReadAsync(Dead);
        foreach (var host in hosts)
        {
            await host.WhenSettledAsync(Stream, Group);
            await host.DisposeAsync();
        }

        Assert.Equal([1, 2, 3, 4], attempts);
        Assert.Equal([1, 2, 3, 4], Assert.Single(await Letters.ListAsync().ToListAsync()).Attempts.Select(attempt => attempt.Attempt));
    }

    /// <summary>A worker that was killed, by a deployment for one, used up a retry of the task it had.</summary>
    [Fact]
    public async Task Asynq_1015_killed_worker_uses_up_no_attempt()
    {
        await PublishAsync("o1");
        for (var death = 0; death < 3; death++)
        {
            var started = new TaskCompletionSource();
            await using var killed = await StartAsync(
                (_, _, token) =>
                {
                    started.TrySetResult();
                    return Task.Delay(Timeout.Infinite, token);
                },
                o => o.MaxAttempts = 1);
            await started.Task.WaitAsync(Eventually.Deadline);
            await killed.AbortAsync();
        }

        var seen = new TaskCompletionSource<(int, long)>();
        await using var host = await StartAsync((_, context) => seen.SetResult((context.Attempt, context.DeliveryCount)), o => o.MaxAttempts = 1);
        Assert.Equal((1, 4L), await seen.Task.WaitAsync(Eventually.Deadline));
        await host.WhenSettledAsync(Stream, Group);
    }

    /// <summary>The wait before the next attempt slept in the worker's slot, so a few failing messages stopped the group.</summary>
    [Fact]
    public async Task Nestjs_redisx_message_that_waits_for_its_retry_holds_no_handler()
    {
        await using var host = await StartAsync(
            (order, context) =>
            {
                if (order.OrderId.StartsWith("bad", StringComparison.Ordinal))
                    throw new InvalidOperationException("no money");
                context.Publish(Done, new OrderPaid(order.OrderId));
            },
            o => (o.Concurrency, o.RetryBaseDelay, o.RetryMaxDelay) = (1, TimeSpan.FromHours(1), TimeSpan.FromHours(1)));

        await PublishAsync(host, "bad1", "bad2", "o1", "bad3", "o2");
        await host.ReadAsync(Done, 2);
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal(["o1", "o2"], await HandledAsync());
        Assert.Equal(0, await AddedAsync(Dead));
    }

    /// <summary>The number of retries was not the number set, and what had used them up was thrown away, or acknowledged as if it were handled.</summary>
    [Fact]
    public async Task Cap_1707_and_Dapr_4208_message_is_tried_as_often_as_set_and_kept_afterwards()
    {
        var attempts = new ConcurrentQueue<int>();
        await using var host = await StartAsync(
            (_, context) =>
            {
                attempts.Enqueue(context.Attempt);
                throw new InvalidOperationException("no money");
            },
            o => o.MaxAttempts = 3);

        await PublishAsync(host, "o1");
        var letter = (await host.ReadAsync(Dead))[0].Fields;
        await host.WhenSettledAsync(Again, Group);

        Assert.Equal([1, 2, 3], attempts);
        Assert.Equal("{\"orderId\":\"o1\",\"total\":1}", letter.GetText("data"u8));
    }

    /// <summary>The retry of a message that had been scheduled was deleted instead of delivered.</summary>
    [Fact]
    public async Task Wolverine_3613_message_that_was_scheduled_is_retried()
    {
        var attempts = new ConcurrentQueue<(int, string)>();
        await using var host = await StartAsync((order, context) =>
        {
            attempts.Enqueue((context.Attempt, context.MessageId));
            if (context.Attempt == 1)
                throw new InvalidOperationException("no money");
            context.Publish(Done, new OrderPaid(order.OrderId));
        });

        await host.Publisher.PublishAsync(
            Stream, new OrderCreated("o1", 1), new() { MessageId = "m1", Delay = TimeSpan.FromMilliseconds(20) });
        await host.ReadAsync(Done);

        Assert.Equal([(1, "m1"), (2, "m1")], attempts);
    }

    /// <summary>An entry of the schedule that could not be read stayed there, and was read again and again.</summary>
    [Fact]
    public async Task Wolverine_3644_scheduled_entry_that_cannot_be_read_is_a_dead_letter_once()
    {
        await using var host = await StartDoneAsync();
        var unreadable = EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{"));

        await Store.CommitAsync(new Commit { Changes = [new CommitChange.Schedule(Stream, unreadable, TimeSpan.FromMilliseconds(20))] });
        await host.ReadAsync(Dead);
        await PublishAsync(host, "o1");
        await WhenHandledAsync("o1");
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal(0, (await Store.GetScheduleAsync(Stream)).Count);
        Assert.Equal((2, 1), (await AddedAsync(Stream), await AddedAsync(Dead)));
    }

    /// <summary>What was settled stayed in Redis until its memory was full: acknowledging deletes nothing.</summary>
    [Fact]
    public async Task Redis_6941_settled_retries_leave_nothing_behind()
    {
        await using var host = await StartAsync((order, context) =>
        {
            if (context.Attempt < 3)
                throw new InvalidOperationException("no money");
            context.Publish(Done, new OrderPaid(order.OrderId));
        });

        await PublishAsync(host, Orders(20));
        await host.ReadAsync(Done, 20);

        await Eventually.TrueAsync("the private stream is empty", async () => (await Store.GetStreamInfoAsync(Again))!.Length == 0);
        Assert.Equal(40, await AddedAsync(Again));
    }

    /// <summary>The first retries came at once, so that an outage of a second used up all of them: the waits could not be set.</summary>
    [Fact]
    public async Task Cap_1676_waits_between_attempts_are_as_set()
    {
        await using var host = await StartAsync(
            (_, _) => throw new InvalidOperationException("no money"),
            o => (o.RetryBaseDelay, o.RetryMaxDelay) = (TimeSpan.FromDays(10), TimeSpan.FromDays(10)));

        await PublishAsync(host, Orders(20));
        await host.WhenSettledAsync(Stream, Group);

        // Random shares of ten days: not one in a thousand runs has one of twenty that is over by now.
        var schedule = await Store.GetScheduleAsync(Again);
        Assert.InRange(schedule.Count, 19, 20);
    }
}
