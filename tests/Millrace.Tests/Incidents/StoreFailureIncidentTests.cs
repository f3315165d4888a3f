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
        Assert.InRange(reads, 20, _clock.Pauses + 1);
        await StopFailingAsync(host);
    }

    /// <summary>A group that was gone filled the disk with 30 GB of one line in a day.</summary>
    [Fact]
    public async Task Dapr_4302_store_that_fails_for_an_hour_is_told_once_a_minute_at_most()
    {
        _isDown = true;
        await using var host = await StartAsync();
        var start = _time.GetUtcNow();

        while (_time.GetUtcNow() - start < TimeSpan.FromHours(1))
        {
            var before = Volatile.Read(ref _reads);
            await Eventually.TrueAsync("it reads again", () =>
            {
                _time.Advance(LongestPause);
                return new(Volatile.Read(ref _reads) > before);
            });
        }

        Assert.InRange(_warnings.Count, 1, Math.Min(65, Volatile.Read(ref _reads)));
        await StopFailingAsync(host);
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

    private Task<ConsumerHost> StartAsync() => ConsumerHost.StartAsync(
        m =>
        {
            m.Services.AddSingleton<ILoggerProvider>(_warnings);
            m.AddConsumer<OrderCreated>(
                "orders",
                "billing",
                (order, context, _) =>
                {
                    context.Publish("done", new OrderPaid(order.OrderId));
                    return Task.CompletedTask;
                },
                o => (o.Lease, o.HandlerTimeout) = (TimeSpan.FromDays(1), Timeout.InfiniteTimeSpan));
        },
        FaultyStore.Wrap(_store, call =>
        {
            if (call != nameof(IStreamStore.ReadGroupAsync))
                return FaultyStore.Fault.None;
            Interlocked.Increment(ref _reads);
            return _isDown ? FaultyStore.Fault.Before : FaultyStore.Fault.None;
        }),
        _clock);

    /// <summary>The same clock, which counts the waits that are as long as those of a reader whose store fails.</summary>
    private sealed class PauseCount(TimeProvider time) : TimeProvider
    {
        private int _pauses;

        public int Pauses => Volatile.Read(ref _pauses);

        public override long TimestampFrequency => time.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow();

        public override long GetTimestamp() => time.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime >= TimeSpan.FromMilliseconds(10) && dueTime <= LongestPause)
                Interlocked.Increment(ref _pauses);
            return time.CreateTimer(callback, state, dueTime, period);
        }
    }
}
