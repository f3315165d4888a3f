using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Consuming;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Monitoring;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Control;

/// <summary>What a delivery waits for before its handler, by a clock that only the test moves.</summary>
public sealed class AdmissionTests : IAsyncDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly EmbeddedStreamStore _store;
    private readonly MessageMeter _meter;
    private readonly ReadGate _gate;

    public AdmissionTests() => (_store, _meter, _gate) = (new(new(), _time), new(_time), new(_time));

    public ValueTask DisposeAsync()
    {
        _meter.Dispose();
        return _store.DisposeAsync();
    }

    [Fact]
    public async Task Gate_that_opens_again_lets_no_more_begin_than_the_rate_limit()
    {
        // One token each 100 ms. 60 deliveries wait for theirs when the gate closes for 20 seconds.
        var admission = Make(limit: 10);
        var begun = 0;
        var waiting = Enumerable.Range(1, 60).Select(i => Task.Run(async () =>
        {
            if (await admission.EnterAsync(Next(i), CancellationToken.None) is not null)
                Interlocked.Increment(ref begun);
        })).ToList();
        await Eventually.TrueAsync("one has begun", () => ValueTask.FromResult(Volatile.Read(ref begun) >= 1));
        _gate.Close(WorkerState.Paused);
        var closed = 0;
        await Eventually.TrueAsync("it was closed for 20 seconds", () =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return ValueTask.FromResult(++closed == 200);
        });

        _gate.Open(WorkerState.Paused);
        List<(DateTimeOffset At, int Begun)> samples = [];
        await Eventually.TrueAsync("all have begun", () =>
        {
            samples.Add((_time.GetUtcNow(), Volatile.Read(ref begun)));
            _time.Advance(TimeSpan.FromMilliseconds(25));
            return ValueTask.FromResult(waiting.TrueForAll(task => task.IsCompleted));
        });

        // As for the limiter itself: the limit, and what the windows at either end and two on their way may add.
        for (var i = 0; i < samples.Count; i++)
        {
            var last = samples.FindLastIndex(sample => sample.At <= samples[i].At + TimeSpan.FromSeconds(1));
            Assert.InRange(samples[last].Begun - samples[i].Begun, 0, 10 + 3 + 2);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Delivery_that_is_gone_uses_up_no_token(bool isHandedBack)
    {
        // One token each day. Three wait for the second.
        var admission = Make(limit: 1, TimeSpan.FromDays(1));
        Assert.NotNull(await admission.EnterAsync(Next(1), CancellationToken.None));
        List<Delivery> deliveries = [Next(2), Next(3), Next(4)];
        var entering = deliveries.ConvertAll(delivery => admission.EnterAsync(delivery, CancellationToken.None).AsTask());

        foreach (var delivery in deliveries.Take(2))
            Assert.True(isHandedBack ? delivery.TryHandBack() : delivery.Lose());
        await Eventually.TrueAsync("the last has begun", () =>
        {
            _time.Advance(TimeSpan.FromHours(1));
            return ValueTask.FromResult(entering[2].IsCompleted);
        });

        Assert.Equal([null, null, deliveries[2]], await Task.WhenAll(entering));
    }

    /// <summary>Threads come to the line as they like, and all of them anew after a closed gate.</summary>
    [Fact]
    public async Task Deliveries_of_a_lane_begin_in_the_order_they_came_whoever_asks_first()
    {
        var admission = Make(lane: new(null, new(1, [1], TimeSpan.FromHours(1), _time), 0));
        List<Delivery> deliveries = [.. Enumerable.Range(1, 60).Select(Next)];
        ConcurrentQueue<Delivery> begun = [];
        _gate.Close(WorkerState.Paused);
        admission.Queue(deliveries);
        var entering = Enumerable.Reverse(deliveries).Select(EnterAsync).ToList();

        for (var opened = 1; opened <= 3; opened++)
        {
            _gate.Open(WorkerState.Paused);
            await Eventually.TrueAsync("a part has begun, and the gate is closed", () => new(!_gate.IsOpen && begun.Count == opened * 20));
        }

        await Task.WhenAll(entering);
        Assert.Equal(deliveries.Select(delivery => delivery.Id), begun.Select(delivery => delivery.Id));

        async Task EnterAsync(Delivery next)
        {
            var delivery = (await admission.EnterAsync(next, CancellationToken.None))!;
            begun.Enqueue(delivery);
            if (begun.Count % 20 == 0)
                _gate.Close(WorkerState.Paused);
            Assert.True(delivery.TryStart());
            admission.Leave(delivery);
        }
    }

    /// <summary>What a pause hands back must not cost the lane places when it goes on.</summary>
    [Fact]
    public async Task Deliveries_of_a_lane_that_are_gone_ask_for_no_place()
    {
        var budget = new LaneBudget(1, [1, 1], TimeSpan.FromHours(1), _time);
        var admission = Make(lane: new(null, budget, 0));
        List<Delivery> deliveries = [.. Enumerable.Range(1, 10).Select(Next)];
        Assert.True(await budget.EnterAsync(1, CancellationToken.None));
        _gate.Close(WorkerState.Paused);
        admission.Queue(deliveries);
        var entering = deliveries.ConvertAll(delivery => admission.EnterAsync(delivery, CancellationToken.None).AsTask());
        Assert.All(deliveries.Take(7), delivery => Assert.True(delivery.TryHandBack()));

        _gate.Open(WorkerState.Paused);
        await Eventually.TrueAsync("three are in line, and seven not", () =>
            new(budget.CountWaiting(0) == 3 && entering.Count(task => task.IsCompleted) == 7));
        for (var i = 0; i < 3; i++)
            budget.Leave();

        Assert.Equal(deliveries.Skip(7), (await Task.WhenAll(entering)).OfType<Delivery>().OrderBy(delivery => delivery.Id));
    }

    private static Delivery Next(int id) => new(
        "orders", isAgain: false, isRecovered: false, new(new((ulong)id, 0), EntryFields.Create(("type", "x")), 1), renewedAt: 0);

    private Admission Make(int limit = 0, TimeSpan? period = null, LaneShare? lane = null)
    {
        var plan = new GroupPlan
        {
            Stream = "orders",
            Group = "billing",
            Consumer = "c",
            Options = new() { RateLimit = limit, RatePeriod = period ?? TimeSpan.FromSeconds(1) },
            Routes = null!,
        };
        var limiter = new RateLimiter(_store, plan, _time, NullLogger.Instance);
        return new(_gate, lane, limiter, new(plan, _gate, _time, _meter, NullLogger.Instance));
    }
}
