using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Monitoring;

namespace Millrace.Tests.Consuming.Breaker;

/// <summary>An outage of what handlers need, the same on every store.</summary>
public abstract class BreakerContract
{
    protected const string Group = "billing";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private int _calls;
    private int _handled;

    protected abstract IStreamStore Store { get; }

    protected string Stream => _stream;

    protected int Handled => Volatile.Read(ref _handled);

    /// <summary>SlimMessageBus #454: a breaker that sent everything to the dead letters.</summary>
    [Fact]
    public async Task Messages_of_an_outage_are_handled_after_it_and_none_is_a_dead_letter()
    {
        const int messages = 30;
        var isDown = true;
        await using var host = await StartAsync(_ => Volatile.Read(ref isDown), o => (o.Concurrency, o.MaxAttempts) = (4, 3));
        using var recorder = new MeterRecorder(host, name => name is "millrace.breaker.trips" or "millrace.consumer.state");

        await host.Publisher.PublishManyAsync(_stream, Enumerable.Range(0, messages).Select(i => new OrderCreated($"o{i}", i)).ToList());
        await WhenAsync(host, WorkerState.Tripped);
        await recorder.ScrapeUntilAsync(gauges => gauges["millrace.consumer.state"].Any(reading => reading.Tags.EndsWith("=tripped")));

        // More tries than any message has attempts, however they fall.
        await Eventually.TrueAsync("messages were tried again and again", () =>
            ValueTask.FromResult(Volatile.Read(ref _calls) > 3 * messages));
        Volatile.Write(ref isDown, false);

        await Eventually.TrueAsync("all messages are handled", () => ValueTask.FromResult(Volatile.Read(ref _handled) == messages));
        await WhenAsync(host, WorkerState.Reading);
        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.DeadLetters(_stream, Group)));
        Assert.Equal(1, recorder.Of("millrace.breaker.trips").Sum(reading => reading.Value));
    }

    [Fact]
    public async Task Bad_message_alone_goes_to_the_dead_letters_and_stops_nobody()
    {
        await using var host = await StartAsync(order => order.OrderId == "bad", o => (o.Concurrency, o.MaxAttempts) = (1, 8));

        await host.Publisher.PublishAsync(_stream, new OrderCreated("bad", 1));
        await host.ReadAsync(StreamNames.DeadLetters(_stream, Group));
        await host.Publisher.PublishAsync(_stream, new OrderCreated("good", 1));

        await Eventually.TrueAsync("the good one is handled", () => ValueTask.FromResult(Volatile.Read(ref _handled) == 1));
        Assert.Equal(9, _calls);
    }

    [Fact]
    public async Task Consumer_whose_breaker_is_open_stops_like_any_other_and_loses_nothing()
    {
        await using (var host = await StartAsync(_ => true, o => o.BreakerPause = TimeSpan.FromMinutes(1)))
        {
            await host.Publisher.PublishManyAsync(_stream, Enumerable.Range(0, 12).Select(i => new OrderCreated($"o{i}", i)).ToList());
            await WhenAsync(host, WorkerState.Tripped);
            await host.StopAsync();
            Assert.Equal(0, (await Store.PendingSummaryAsync(_stream, Group)).Count);
        }

        // What had begun waits out its pause in the schedule; the rest was handed back or never read.
        var before = Volatile.Read(ref _calls);
        await using var next = await StartAsync(_ => false, o => o.BreakerFailures = 0);
        await Eventually.TrueAsync("what had not begun is handled", () => ValueTask.FromResult(Volatile.Read(ref _handled) >= 12 - before));
    }

    [Fact]
    public async Task Report_says_what_failed_last_also_after_a_message_was_tried()
    {
        await using var host = await StartAsync(_ => true, o => (o.Concurrency, o.BreakerFailures, o.BreakerMaxPause) = (1, 2, TimeSpan.FromMinutes(1)));
        await host.Publisher.PublishManyAsync(_stream, Enumerable.Range(0, 12).Select(i => new OrderCreated($"o{i}", i)).ToList());

        // Pauses double, so that one is soon long enough to be seen.
        await Eventually.TrueAsync("two tries have failed, and the report says of what", () => ValueTask.FromResult(
            Volatile.Read(ref _calls) >= 2 + 2 && host.Host.Services.GetRequiredService<ConsumerControl>().Consumers[0] is
            {
                State: WorkerState.Tripped, Detail: "System.TimeoutException",
            }));
    }

    protected static Task WhenAsync(ConsumerHost host, WorkerState state) => Eventually.TrueAsync($"the consumer is {state}", () =>
        ValueTask.FromResult(host.Host.Services.GetRequiredService<ConsumerControl>().Consumers[0].State == state));

    protected Task<ConsumerHost> StartAsync(Func<OrderCreated, bool> fails, Action<ConsumerOptions> configure) => ConsumerHost.StartAsync(
        m => m.AddConsumer<OrderCreated>(
            _stream,
            Group,
            (order, _, _) =>
            {
                Interlocked.Increment(ref _calls);
                if (fails(order))
                    throw new TimeoutException("down");
                Interlocked.Increment(ref _handled);
                return Task.CompletedTask;
            },
            o =>
            {
                (o.BreakerFailures, o.BreakerPause, o.BreakerMaxPause) = (4, TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(4));
                (o.RetryBaseDelay, o.RetryMaxDelay) = (TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(2));
                configure(o);
                if (o.BreakerMaxPause < o.BreakerPause)
                    o.BreakerMaxPause = o.BreakerPause;
            }),
        Store);
}
