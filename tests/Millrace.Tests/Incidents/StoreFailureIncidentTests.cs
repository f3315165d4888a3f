using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>What readers did to a store that failed, or that had nothing for them. With a clock that stands still until it is moved.</summary>
public sealed class StoreFailureIncidentTests : IAsyncDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly PauseCount _clock;
    private readonly EmbeddedStreamStore _store;
    private readonly WarningCount _warnings = new();
    private Task _handlers = Task.CompletedTask;
    private int _begun;
    private int _reads;
    private volatile bool _isDown;

    public StoreFailureIncidentTests() => (_clock, _store) = (new(_time), new(new(), _time));

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    /// <summary>A read that failed was repeated at once, for ever, at full speed.</summary>
    [Fact]
    public async Task Dapr_failing_read_is_repeated_after_a_pause_only()
    {
        _isDown = true;
        await using var host = await StartAsync();

        await Eventually.TrueAsync("it has read again and again", () =>
        {
            _time.Advance(LongestPause);
            return new(Volatile.Read(ref _reads) >= 20);
        });

        // In this order: a read that comes in between has its pause after it.
        var reads = Volatile.Read(ref _reads);
        var pauses = _clock.Pauses.ToList();
        Assert.InRange(reads, 20, pauses.Count + 1);

        // They grow, and are drawn at random; a whole second is how often the group notes where it stands.
        pauses.RemoveAll(static pause => pause == TimeSpan.FromSeconds(1));
        Assert.InRange(pauses[0].TotalMilliseconds, 10, 60);
        Assert.True(pauses.Max() > TimeSpan.FromSeconds(1), $"The longest was {pauses.Max()}.");
        Assert.InRange(pauses.Distinct().Count(), 15, pauses.Count);
        await StopFailingAsync(host);
    }

    /// <summary>A group that was gone filled the disk with 30 GB of one line in a day.</summary>
    [Fact]
    public async Task Dapr_4302_store_that_fails_for_an_hour_is_told_once_a_minute_at_most()
    {
        var end = new TaskCompletionSource();
        _handlers = end.Task;
        var calls = 0;
        await using var host = await StartAsync((_, _) => Interlocked.Increment(ref calls) > 0 && _isDown, static options =>
        {
            (options.Lease, options.HandlerTimeout) = (new ConsumerOptions().Lease, Timeout.InfiniteTimeSpan);
            (options.RateLimit, options.RatePeriod) = (1, TimeSpan.FromSeconds(10));
        });

        try
        {
            // One runs, and does not hear that its lease is over; one waits for the limit.
            await host.Publisher.PublishManyAsync<OrderCreated>("orders", [new("o2", 1), new("o3", 1)]);
            await Eventually.TrueAsync(
                "both are held", async () => Volatile.Read(ref _begun) == 1 && (await _store.GetGroupsAsync("orders")) is [{ PendingCount: 2 }]);
            _isDown = true;

            var start = _time.GetUtcNow();
            while (_time.GetUtcNow() - start < TimeSpan.FromHours(1))
            {
                var before = Volatile.Read(ref calls);
                await Eventually.TrueAsync("it asks again", () =>
                {
                    _time.Advance(LongestPause);
                    return new(Volatile.Read(ref calls) > before);
                });
            }

            Assert.All(
                [EventIds.ReadFailed, EventIds.RecoveryFailed, EventIds.ExtendFailed, EventIds.RateLimitFailed],
                told => Assert.True(_warnings.ByEvent.GetValueOrDefault(told) > 1, $"{told} goes on."));
            AssertToldOnceAMinute(start);
        }
        finally
        {
            end.SetResult();
        }

        await StopFailingAsync(host);
    }

    /// <summary>While it is the same for the reader of an ordered group: it loses its lease, takes it again, and cannot renew that either.</summary>
    [Fact]
    public async Task Reader_that_cannot_renew_its_lease_tells_it_once_a_minute_at_most()
    {
        var renewals = 0;
        await using var host = await StartAsync(
            (call, arguments) => call == nameof(IStreamStore.CommitAsync)
                && arguments[0] is IReadOnlyList<Commit> and [{ Changes: [CommitChange.PutState { Key.Name: "millrace/pulse/billing" }] }]
                && Interlocked.Increment(ref renewals) > 0,
            static options => options.OrderedBy = nameof(OrderCreated.OrderId));
        var start = _time.GetUtcNow();

        await Eventually.TrueAsync("it tried again and again", () =>
        {
            _time.Advance(LongestPause);
            return new(Volatile.Read(ref renewals) >= 40);
        });

        var minutes = (int)(_time.GetUtcNow() - start).TotalMinutes + 1;
        Assert.InRange(_warnings.ByEvent[EventIds.ReaderRenewalFailed], 2, minutes);
    }

    /// <summary>A way to see the backlog made a consumer with nothing to do read eight thousand times a second.</summary>
    [Fact]
    public async Task EggAI_269_consumer_with_nothing_to_do_waits_in_its_read()
    {
        await using var host = await StartAsync();
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.ReadAsync("done");
        await host.WhenSettledAsync("orders", "billing");
        await Eventually.TrueAsync("it reads again", () => new(Volatile.Read(ref _reads) >= 2));
        var before = Volatile.Read(ref _reads);

        for (var i = 0; i < 60; i++)
            _time.Advance(TimeSpan.FromSeconds(1));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 1));
        await host.ReadAsync("done", 2);

        // A minute is two reads of 30 s; a few more when the moves of the clock and the reads cross.
        Assert.InRange(Volatile.Read(ref _reads) - before, 0, 5);
    }

    /// <summary>Of a reader whose store fails: 10 ms, and up to 5 s more.</summary>
    private static TimeSpan LongestPause => TimeSpan.FromSeconds(5.01);

    private void AssertToldOnceAMinute(DateTimeOffset start)
    {
        var minutes = (int)(_time.GetUtcNow() - start).TotalMinutes + 1;
        Assert.All(_warnings.ByEvent, told => Assert.True(told.Value <= minutes, $"{told.Key} came {told.Value} times in {minutes} minutes."));
    }

    private async Task StopFailingAsync(ConsumerHost host)
    {
        _isDown = false;
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await Eventually.TrueAsync("it goes on", async () =>
        {
            _time.Advance(LongestPause);
            return await _store.GetStreamInfoAsync("done") is not null;
        });
    }

    /// <summary>A host whose reads fail while the store is down.</summary>
    private Task<ConsumerHost> StartAsync() => StartAsync(
        (call, _) =>
        {
            if (call != nameof(IStreamStore.ReadGroupAsync))
                return false;
            Interlocked.Increment(ref _reads);
            return _isDown;
        },
        static options => (options.Lease, options.HandlerTimeout) = (TimeSpan.FromDays(1), Timeout.InfiniteTimeSpan));

    private Task<ConsumerHost> StartAsync(Func<string, object?[], bool> fails, Action<ConsumerOptions> configure) => ConsumerHost.StartAsync(
        m =>
        {
            m.Services.AddSingleton<ILoggerProvider>(_warnings);
            m.AddConsumer<OrderCreated>(
                "orders",
                "billing",
                async (order, context, _) =>
                {
                    Interlocked.Increment(ref _begun);
                    await _handlers;
                    context.Publish("done", new OrderPaid(order.OrderId));
                },
                configure);
        },
        FaultyStore.Wrap(_store, (call, arguments) => fails(call, arguments) ? FaultyStore.Fault.Before : FaultyStore.Fault.None),
        _clock);

    /// <summary>The same clock, which notes the waits that are as long as those of a reader whose store fails.</summary>
    private sealed class PauseCount(TimeProvider time) : TimeProvider
    {
        public ConcurrentQueue<TimeSpan> Pauses { get; } = [];

        public override long TimestampFrequency => time.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow();

        public override long GetTimestamp() => time.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime >= TimeSpan.FromMilliseconds(10) && dueTime <= LongestPause)
                Pauses.Enqueue(dueTime);
            return time.CreateTimer(callback, state, dueTime, period);
        }
    }
}
