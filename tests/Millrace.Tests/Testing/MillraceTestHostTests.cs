using Microsoft.Extensions.DependencyInjection;
using Millrace.Testing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Testing;

public sealed class MillraceTestHostTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public async Task Idle_host_has_settled_everything_through_all_stages()
    {
        const int count = 300;
        await using var host = await MillraceTestHost.StartAsync(static m => m
            .AddMessage<TripReminder>()
            .AddConsumer<TripBooked>("one", "first", static (trip, context, _) => PassOnAsync(context, "two", trip))
            .AddConsumer<TripBooked>("two", "second", static (trip, context, _) => PassOnAsync(context, "three", trip))
            .AddConsumer<TripBooked>("three", "third", static (trip, context, _) => PassOnAsync(context, "four", new SeatTaken(trip.Trip)))
            .AddConsumer<SeatTaken>("four", "last", static (_, _, _) => Task.CompletedTask));

        await host.PublishManyAsync("one", Enumerable.Range(0, count).Select(static i => new TripBooked($"t{i}", i)).ToList());
        await host.WhenIdleAsync();

        Assert.Equal(count, host.Handled<SeatTaken>("last").Count);
        Assert.Equal(3 * count, host.Handled<TripBooked>().Count);
        Assert.Equal(count, host.Published<TripBooked>("two").Select(static published => published.Message.Trip).Distinct().Count());
        Assert.Empty(host.Failed);
        Assert.Equal(0, (await host.Store.PendingSummaryAsync("four", "last")).Count);
    }

    [Fact]
    public async Task Retries_with_backoff_take_no_real_time_and_end_in_the_dead_letters()
    {
        await using var host = await MillraceTestHost.StartAsync(static m => m.AddConsumer<TripBooked>(
            "trips",
            "booking",
            static (_, _, _) => throw new InvalidOperationException("no seats"),
            static options => (options.MaxAttempts, options.RetryBaseDelay, options.RetryMaxDelay) =
                (5, TimeSpan.FromMinutes(10), TimeSpan.FromHours(1))));

        var headers = new Dictionary<string, string> { ["vip"] = "yes" };
        await host.PublishAsync("trips", new TripBooked("t1", 1), new() { MessageId = "m1", Headers = headers });
        await host.WhenIdleAsync();
        Assert.Equal([1], host.Failed.Select(static failed => failed.Attempt));
        Assert.Empty(await host.DeadLettersAsync("trips", "booking"));

        await host.AdvanceAsync(TimeSpan.FromHours(4));

        Assert.Equal([1, 2, 3, 4, 5], host.Failed.Select(static failed => failed.Attempt));
        Assert.All(host.Failed, static failed => Assert.Equal(("m1", "yes", "no seats"), (failed.MessageId, failed.Headers["vip"], failed.Failure!.Message)));
        Assert.Empty(host.Handled<TripBooked>());
        Assert.Equal([Start], host.Published<TripBooked>().Select(static published => published.Time));
        var letter = Assert.Single(await host.DeadLettersAsync("trips", "booking"));
        Assert.Equal((DeadLetterReasons.AttemptsExhausted, 5), (letter.Reason, letter.Attempts.Count));
        Assert.Equal(Start + TimeSpan.FromHours(4), host.Time.GetUtcNow());
    }

    [Fact]
    public async Task Delayed_message_is_handled_at_its_moment_and_not_before()
    {
        await using var host = await StartBookingAsync();
        await host.PublishAsync("trips", new TripBooked("t1", 2));
        await host.WhenIdleAsync();
        Assert.Equal(TimeSpan.FromHours(24), Assert.Single(host.Published<TripReminder>()).Delay);
        Assert.Equal(new Seats(8), await host.GetStateAsync<Seats>("trips", "t1"));

        await host.AdvanceAsync(TimeSpan.FromHours(23.9));
        Assert.Empty(host.Handled<TripReminder>());
        await host.AdvanceAsync(TimeSpan.FromHours(0.1));

        Assert.Equal(Start + TimeSpan.FromHours(24), Assert.Single(host.Handled<TripReminder>("booking")).StartedAt);
    }

    [Fact]
    public async Task Recurring_message_fires_at_each_moment_that_passes()
    {
        await using var host = await MillraceTestHost.StartAsync(static m => m
            .AddRecurring("hourly", "reminders", Recurrence.Every(TimeSpan.FromHours(1)), static due => new TripReminder($"{due:HH:mm}"))
            .AddConsumer<TripReminder>("reminders", "mails", static (_, _, _) => Task.CompletedTask));

        await host.AdvanceAsync(TimeSpan.FromHours(3));

        Assert.Equal(["13:00", "14:00", "15:00"], host.Handled<TripReminder>().Select(static handled => handled.Message.Trip));
        Assert.Equal([1, 2, 3], host.Handled<TripReminder>().Select(static handled => (handled.StartedAt - Start).TotalHours));
    }

    [Fact]
    public async Task Handler_that_takes_ten_minutes_keeps_a_lease_of_five_seconds()
    {
        var time = new TaskCompletionSource<TimeProvider>();
        await using var host = await MillraceTestHost.StartAsync(
            m => m.AddConsumer<TripBooked>(
                "trips",
                "booking",
                async (_, _, cancellationToken) => await Task.Delay(TimeSpan.FromMinutes(10), await time.Task, cancellationToken),
                static options => (options.Lease, options.HandlerTimeout) = (TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan)));
        time.SetResult(host.Time);
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await host.Time.WaitForTimerAsync(TimeSpan.FromMinutes(10));

        await host.AdvanceAsync(TimeSpan.FromMinutes(11), whileHandlersRun: true);

        var handled = Assert.Single(host.Handled<TripBooked>());
        Assert.Equal((1, 1L, TimeSpan.FromMinutes(10)), (handled.Attempt, handled.DeliveryCount, handled.EndedAt - handled.StartedAt));
        await host.WhenIdleAsync();
    }

    /// <summary>What waits in one lane waits for the handler of another, which has the only place.</summary>
    [Fact]
    public async Task Time_passes_while_lanes_wait_for_the_handler_of_another()
    {
        var time = new TaskCompletionSource<TimeProvider>();
        await using var host = await MillraceTestHost.StartAsync(m => m
            .AddLanes("trips", static lanes => lanes.Add("express", 8))
            .AddConsumer<TripBooked>(
                "trips",
                "booking",
                async (_, _, cancellationToken) => await Task.Delay(TimeSpan.FromSeconds(7), await time.Task, cancellationToken),
                static options => options.Concurrency = 1));
        time.SetResult(host.Time);
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await host.Time.WaitForTimerAsync(TimeSpan.FromSeconds(7));
        await host.PublishAsync("trips", new TripBooked("t2", 2), new() { Lane = "express" });

        await host.AdvanceAsync(TimeSpan.FromSeconds(7), whileHandlersRun: true);
        await host.Time.WaitForTimerAsync(TimeSpan.FromSeconds(7));
        await host.AdvanceAsync(TimeSpan.FromSeconds(7), whileHandlersRun: true);

        Assert.Equal(["t1", "t2"], host.Handled<TripBooked>().Select(static run => run.Message.Trip));
    }

    [Fact]
    public async Task Time_limit_of_a_handler_ends_it_when_the_clock_comes_to_it()
    {
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await MillraceTestHost.StartAsync(m => m.AddConsumer<TripBooked>(
            "trips",
            "booking",
            async (_, context, cancellationToken) =>
            {
                entered.TrySetResult();
                if (context.Attempt == 1)
                    await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken);
            },
            static options => options.HandlerTimeout = TimeSpan.FromSeconds(30)));
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await entered.Task;

        await host.AdvanceAsync(TimeSpan.FromSeconds(29), whileHandlersRun: true);
        Assert.Empty(host.Failed);
        await host.AdvanceAsync(TimeSpan.FromSeconds(1), whileHandlersRun: true);
        await host.AdvanceAsync(TimeSpan.FromMinutes(1));

        Assert.Equal(TimeSpan.FromSeconds(30), Assert.Single(host.Failed).EndedAt - Start);
        Assert.Equal(2, Assert.Single(host.Handled<TripBooked>()).Attempt);
    }

    [Fact]
    public async Task Killed_application_leaves_its_message_and_the_next_one_handles_it()
    {
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await MillraceTestHost.StartAsync(m => m.AddConsumer<TripBooked>(
            "trips",
            "booking",
            async (_, context, cancellationToken) =>
            {
                context.Publish("seats", new SeatTaken("t1"));
                entered.TrySetResult();
                if (context.DeliveryCount == 1)
                    await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken);
            }));
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await entered.Task;

        await host.KillAsync();
        Assert.Equal(1, (await host.Store.PendingSummaryAsync("trips", "booking")).Count);
        Assert.Empty(host.Published<SeatTaken>());
        await host.RestartAsync();
        await host.WhenIdleAsync();

        Assert.Equal(2, Assert.Single(host.Handled<TripBooked>()).DeliveryCount);
        Assert.Single(host.Published<SeatTaken>());
    }

    [Fact]
    public async Task What_is_published_without_consumers_waits_for_a_restart_with_them()
    {
        await using var host = await StartBookingAsync(new() { RunConsumers = false });
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await host.AdvanceAsync(TimeSpan.FromDays(1));
        Assert.Equal(new TripBooked("t1", 1), Assert.Single(host.Published<TripBooked>()).Message);
        Assert.Empty(host.Handled<TripBooked>());

        host.Options.RunConsumers = true;
        await host.RestartAsync();
        await host.WhenIdleAsync();

        Assert.Single(host.Handled<TripBooked>("booking"));
    }

    [Fact]
    public async Task Restart_stops_in_order_and_goes_on_with_the_same_store()
    {
        await using var host = await StartBookingAsync();
        await host.PutStateAsync("trips", static state => state.Put("t1", new Seats(3)));
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await host.WhenIdleAsync();
        await host.StopAsync();
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await host.RestartAsync();
        await host.WhenIdleAsync();

        Assert.Equal(new Seats(1), await host.GetStateAsync<Seats>("trips", "t1"));
        Assert.Equal([1L, 1L], host.Handled<TripBooked>().Select(static handled => handled.DeliveryCount));
        host.ClearEvents();
        Assert.Empty(host.Handled<TripBooked>());
    }

    [Fact]
    public async Task Handler_by_itself_gives_back_what_it_wanted_to_commit()
    {
        await using var host = await StartBookingAsync(new() { RunConsumers = false });

        var effects = await host.HandleAsync<Booking, TripBooked>(
            new("t1", 2), static given => given.Put("t1", new Seats(5)), new() { MessageId = "m1" });

        Assert.Equal(new Seats(3), effects.State<Seats>("t1"));
        Assert.Equal("t1", Assert.Single(effects.Published<SeatTaken>()).Message.Trip);
        var reminder = Assert.Single(effects.Published<TripReminder>());
        Assert.Equal(("m1", TimeSpan.FromHours(24)), (reminder.Headers.CausationId, reminder.Delay));
        Assert.Equal(2, effects.AllPublished.Count);
        Assert.Single(effects.Written);
        Assert.Null(effects.RejectReason);
        Assert.Empty(host.Published<SeatTaken>());
        Assert.Null(await host.GetStateAsync<Seats>("trips", "t1"));
    }

    [Fact]
    public async Task Handler_by_itself_rejects_throws_and_is_found_by_its_group()
    {
        await using var host = await StartBookingAsync();

        var full = await host.HandleAsync<Booking, TripBooked>(new("t1", 11));
        Assert.Equal(("full", 0), (full.RejectReason, full.AllPublished.Count));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => host.HandleAsync("trips", "booking", new TripBooked("t1", -1)));
        var missing = await Assert.ThrowsAsync<InvalidOperationException>(() => host.HandleAsync<Booking, SeatTaken>(new("t1")));
        Assert.Contains("There is no handler of", missing.Message);
    }

    [Fact]
    public async Task Wait_that_fails_says_what_is_in_flight()
    {
        var gate = new TaskCompletionSource();
        await using var host = await MillraceTestHost.StartAsync(
            m => m.AddConsumer<TripBooked>("trips", "booking", (_, _, _) => gate.Task, static options => options.Concurrency = 1));
        await host.PublishAsync("trips", new TripBooked("t1", 1), new() { MessageId = "m1" });
        await host.PublishAsync("trips", new TripBooked("t2", 1));

        host.Options.Deadline = TimeSpan.FromMilliseconds(200);
        var error = await Assert.ThrowsAsync<TimeoutException>(host.WhenIdleAsync);
        Assert.Contains("'booking' of 'trips'", error.Message);
        host.Options.Deadline = TimeSpan.FromSeconds(60);
        gate.SetResult();
        await host.WhenIdleAsync();

        Assert.Equal(2, host.Handled<TripBooked>().Count);
    }

    [Fact]
    public async Task Paused_group_has_nothing_in_flight()
    {
        await using var host = await StartBookingAsync();
        await host.WhenIdleAsync();
        var control = host.Services.GetRequiredService<ConsumerControl>();
        control.Pause("trips", "booking");
        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await host.AdvanceAsync(TimeSpan.FromMinutes(1));
        Assert.Empty(host.Handled<TripBooked>());

        control.Resume("trips", "booking");
        await host.WhenIdleAsync();

        Assert.Single(host.Handled<TripBooked>());
    }

    /// <summary>Between the end of a message and the next one's handler nothing runs, and no call is under way.</summary>
    [Fact]
    public async Task Ordered_group_that_has_room_for_no_more_is_in_flight_until_it_has_handled_all()
    {
        await using var host = await MillraceTestHost.StartAsync(
            static m => m.AddConsumer<HeldUpTrip>("trips", "booking", static (_, _, _) => Task.CompletedTask, static options =>
                (options.OrderedBy, options.MaxWaitingEntries) = (ConsumerOptions.PartitionKey, 2)),
            options: new() { RunConsumers = false });
        using var reading = new HeldUpReading(at: 5);
        for (var number = 1; number <= 10; number++)
            await host.PublishAsync("trips", new HeldUpTrip { Number = number }, new() { PartitionKey = "t1" });
        reading.Begin();
        host.Options.RunConsumers = true;
        await host.RestartAsync();
        await reading.Reached;
        await Eventually.TrueAsync("there is no room", () => new(StateOf(host) == WorkerState.Full));

        host.Options.Deadline = TimeSpan.FromMilliseconds(200);
        var error = await Assert.ThrowsAsync<TimeoutException>(host.WhenIdleAsync);
        Assert.Contains("'booking' of 'trips' (Full)", error.Message);
        host.Options.Deadline = TimeSpan.FromSeconds(60);
        reading.GoOn();
        await host.WhenIdleAsync();

        Assert.Equal(Enumerable.Range(1, 10), host.Handled<HeldUpTrip>().Select(static handled => handled.Message.Number));
    }

    [Fact]
    public async Task Ordered_group_whose_parked_key_leaves_no_room_has_nothing_in_flight()
    {
        await using var host = await MillraceTestHost.StartAsync(static m => m.AddConsumer<TripBooked>(
            "trips",
            "booking",
            static (trip, context, _) => trip.Seats == 1 && context.Attempt < 3 ? throw new InvalidOperationException("later") : Task.CompletedTask,
            static options =>
                (options.OrderedBy, options.MaxWaitingEntries, options.RetryBaseDelay) = (nameof(TripBooked.Trip), 2, TimeSpan.FromMinutes(1))));
        await host.PublishManyAsync("trips", Enumerable.Range(1, 10).Select(static i => new TripBooked("t1", i)).ToList());

        await host.WhenIdleAsync();
        await Eventually.TrueAsync("it says so", () => new(StateOf(host) == WorkerState.Full));
        Assert.NotEqual(0, (await host.Store.GetGroupsAsync("trips"))[0].Lag);
        await host.AdvanceAsync(TimeSpan.FromMinutes(10));

        Assert.Equal(Enumerable.Range(1, 10), host.Handled<TripBooked>().Select(static handled => handled.Message.Seats));
    }

    /// <summary>The breaker is open for all others while one message is tried.</summary>
    [Fact]
    public async Task Message_that_an_open_breaker_tries_is_in_flight_before_its_handler_begins()
    {
        await using var host = await MillraceTestHost.StartAsync(static m => m.AddConsumer<HeldUpTrip>(
            "trips",
            "booking",
            static (trip, context, _) => trip.Number < 3 && context.Attempt == 1 ? throw new TimeoutException("away") : Task.CompletedTask,
            static options => (options.Concurrency, options.BreakerFailures, options.BreakerPause, options.RetryBaseDelay) =
                (1, 2, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1))));
        using var reading = new HeldUpReading(at: null);
        for (var number = 1; number <= 4; number++)
            await host.PublishAsync("trips", new HeldUpTrip { Number = number });
        await host.WhenIdleAsync();
        Assert.Equal((WorkerState.Tripped, 2, 0), (StateOf(host), host.Failed.Count, host.Handled<HeldUpTrip>().Count));

        reading.Begin();
        host.Time.Advance(TimeSpan.FromMinutes(1));
        await reading.Reached;
        host.Options.Deadline = TimeSpan.FromMilliseconds(200);
        var error = await Assert.ThrowsAsync<TimeoutException>(host.WhenIdleAsync);
        Assert.Contains("'booking' of 'trips' (Tripped)", error.Message);
        host.Options.Deadline = TimeSpan.FromSeconds(60);
        reading.GoOn();
        await host.AdvanceAsync(TimeSpan.FromHours(1));

        Assert.Equal((WorkerState.Reading, 4), (StateOf(host), host.Handled<HeldUpTrip>().Count));
    }

    [Fact]
    public async Task Parked_key_of_an_ordered_group_waits_like_a_retry_with_what_is_behind_it()
    {
        await using var host = await MillraceTestHost.StartAsync(static m => m.AddConsumer<TripBooked>(
            "trips",
            "booking",
            static (trip, context, _) => trip.Seats == 1 && context.Attempt < 3 ? throw new InvalidOperationException("later") : Task.CompletedTask,
            static options => (options.OrderedBy, options.RetryBaseDelay) = (nameof(TripBooked.Trip), TimeSpan.FromMinutes(1))));
        foreach (var seats in (int[])[1, 2, 3])
            await host.PublishAsync("trips", new TripBooked("t1", seats));
        await host.PublishAsync("trips", new TripBooked("t2", 9));
        await host.WhenIdleAsync();
        Assert.Equal([9], host.Handled<TripBooked>().Select(static handled => handled.Message.Seats));

        await host.AdvanceAsync(TimeSpan.FromMinutes(10));

        Assert.Equal([9, 1, 2, 3], host.Handled<TripBooked>().Select(static handled => handled.Message.Seats));
        Assert.Equal([1, 2], host.Failed.Select(static failed => failed.Attempt));
    }

    [Fact]
    public async Task Messages_of_a_batch_are_seen_one_by_one()
    {
        await using var host = await MillraceTestHost.StartAsync(static m => m.AddBatchConsumer<TripBooked>(
            "trips",
            "booking",
            static (trips, batch, _) =>
            {
                batch.Fail(0, new InvalidOperationException("no"));
                return Task.CompletedTask;
            },
            static options => (options.BatchSize, options.MaxAttempts) = (3, 1)));
        await host.PublishManyAsync("trips", Enumerable.Range(0, 3).Select(static i => new TripBooked("t", i)).ToList());
        await host.AdvanceAsync(TimeSpan.FromMinutes(1));

        Assert.Equal(3, host.Handled<TripBooked>().Count + host.Failed.Count);
        Assert.Equal(host.Failed.Count, (await host.DeadLettersAsync("trips", "booking")).Count);
        Assert.NotEmpty(host.Failed);
    }

    /// <summary>What is unread behind what waits for its time waits as well.</summary>
    [Fact]
    public async Task Time_passes_for_a_rate_limit_with_more_unread_than_the_group_holds()
    {
        const int count = 100;
        await using var host = await MillraceTestHost.StartAsync(
            static m => m.AddConsumer<TripBooked>("trips", "booking", static (_, _, _) => Task.CompletedTask, static options => options.RateLimit = 400),
            options: new() { Deadline = TimeSpan.FromSeconds(10) });
        await host.PublishManyAsync("trips", Enumerable.Range(0, count).Select(static i => new TripBooked($"t{i}", i)).ToList());

        await host.AdvanceAsync(TimeSpan.FromSeconds(1));

        Assert.Equal(count, host.Handled<TripBooked>().Count);
    }

    [Fact]
    public async Task Time_passes_for_batches_of_several_types_with_more_unread_than_the_group_holds()
    {
        const int count = 20;
        await using var host = await MillraceTestHost.StartAsync(
            static m => m
                .AddBatchConsumer<TripBooked>("trips", "booking", static (_, _, _) => Task.CompletedTask, Configure)
                .AddBatchConsumer<SeatTaken>("trips", "booking", static (_, _, _) => Task.CompletedTask),
            options: new() { Deadline = TimeSpan.FromSeconds(10) });
        for (var i = 0; i < count; i++)
        {
            await host.PublishAsync("trips", new TripBooked($"t{i}", 1));
            await host.PublishAsync("trips", new SeatTaken($"t{i}"));
        }

        await host.AdvanceAsync(TimeSpan.FromMinutes(1));

        Assert.Equal(count, host.Handled<TripBooked>().Count);
        Assert.Equal(count, host.Handled<SeatTaken>().Count);

        static void Configure(ConsumerOptions options) => (options.Concurrency, options.BatchSize, options.Prefetch) = (1, 10, 2);
    }

    [Fact]
    public async Task Store_and_clock_the_application_chose_are_passed_over()
    {
        await using var host = await MillraceTestHost.StartAsync(
            static m => m.UseEmbedded("/dev/null/none").AddMessage<SeatTaken>(),
            static services => services.AddSingleton(TimeProvider.System).AddMillrace(static m => m
                .AddConsumer<Booking, TripBooked>("trips", "booking", static (booking, trip, context, cancellationToken) =>
                    booking.TakeAsync(trip, context, cancellationToken))));

        await host.PublishAsync("trips", new TripBooked("t1", 1));
        await host.WhenIdleAsync();

        Assert.Equal(Start, Assert.Single(host.Published<SeatTaken>()).Headers.Time);
        Assert.Same(host.Time, host.Services.GetRequiredService<TimeProvider>());
    }

    private static Task<MillraceTestHost> StartBookingAsync(TestHostOptions? options = null) => MillraceTestHost.StartAsync(
        static m => m
            .AddConsumer<Booking, TripBooked>("trips", "booking", static (booking, trip, context, cancellationToken) =>
                booking.TakeAsync(trip, context, cancellationToken))
            .AddConsumer<TripReminder>("trips", "booking", static (_, _, _) => Task.CompletedTask),
        options: options);

    private static WorkerState StateOf(MillraceTestHost host) => Assert.Single(host.Services.GetRequiredService<ConsumerControl>().Consumers).State;

    private static Task PassOnAsync<T>(MessageContext context, string stream, T message)
        where T : notnull
    {
        context.Publish(stream, message);
        return Task.CompletedTask;
    }
}
