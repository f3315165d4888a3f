using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Consuming;
using Millrace.Hosting;
using Millrace.Monitoring;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Breaker;

public sealed class CircuitBreakerTests : IDisposable
{
    private static readonly SettleAction Ack = SettleAction.Ack.Instance;

    private readonly ManualTimeProvider _time = new();
    private readonly MessageMeter _meter;
    private readonly ReadGate _gate;
    private readonly ConsumerOptions _options = new()
    {
        BreakerFailures = 3,
        BreakerPause = TimeSpan.FromSeconds(1),
        BreakerMaxPause = TimeSpan.FromSeconds(3),
    };

    private ulong _lastId;

    public CircuitBreakerTests() => (_meter, _gate) = (new(_time), new(_time));

    public void Dispose() => _meter.Dispose();

    [Fact]
    public void Failures_in_a_row_of_several_messages_open_it_and_the_last_uses_up_no_attempt()
    {
        var breaker = Make();

        Assert.True(Fail(breaker).IsCounted);
        Assert.True(Fail(breaker).IsCounted);
        Assert.True(_gate.IsOpen);
        var last = Fail(breaker);

        Assert.False(last.IsCounted);
        Assert.InRange(last.Delay, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
        Assert.Equal(WorkerState.Tripped, _gate.Current!.State);
        Assert.False(breaker.TryEnter(Next()));
    }

    [Fact]
    public void Success_between_failures_keeps_it_closed()
    {
        var breaker = Make();

        for (var i = 0; i < 10; i++)
        {
            Fail(breaker);
            Fail(breaker);
            breaker.Judge(Next(), Ack);
        }

        Assert.True(_gate.IsOpen);
    }

    [Fact]
    public void One_message_that_fails_again_and_again_does_not_open_it()
    {
        var breaker = Make();
        var bad = Next();

        for (var i = 0; i < 10; i++)
            Assert.True(Assert.IsType<SettleAction.Retry>(breaker.Judge(bad, Failed())).IsCounted);

        Assert.True(_gate.IsOpen);
    }

    [Fact]
    public void Last_attempt_that_fails_in_an_outage_is_put_back_and_no_dead_letter()
    {
        var breaker = Open();

        var action = breaker.Judge(Next(), new SettleAction.DeadLetter(DeadLetterReasons.AttemptsExhausted, new TimeoutException()));

        Assert.False(Assert.IsType<SettleAction.Retry>(action).IsCounted);
    }

    [Fact]
    public void What_a_message_has_on_its_own_account_neither_opens_it_nor_is_held_back()
    {
        var breaker = Make();
        SettleAction[] own =
        [
            new SettleAction.DeadLetter("rejected"), new SettleAction.DeadLetter(DeadLetterReasons.NotRetried, new FormatException()),
            SettleAction.Abandon.Instance,
        ];

        for (var i = 0; i < 10; i++)
            Assert.All(own, action => Assert.Same(action, breaker.Judge(Next(), action)));

        Assert.True(_gate.IsOpen);
    }

    [Fact]
    public void After_a_pause_one_message_is_tried_and_its_success_closes_it()
    {
        var breaker = Open();

        _time.Advance(TimeSpan.FromSeconds(0.9));
        Assert.False(_gate.IsOpen);
        _time.Advance(TimeSpan.FromSeconds(0.1));
        var probe = Next();
        Assert.True(_gate.IsOpen);
        Assert.True(breaker.TryEnter(probe));
        Assert.False(breaker.TryEnter(Next()));
        Assert.False(_gate.IsOpen);
        Assert.Same(Ack, breaker.Judge(probe, Ack));
        breaker.Leave(probe);

        Assert.True(_gate.IsOpen);
        Assert.True(breaker.TryEnter(Next()));
        Assert.True(Fail(breaker).IsCounted);
    }

    [Fact]
    public void Pause_doubles_with_each_try_that_fails_up_to_its_maximum_and_starts_anew_after_a_success()
    {
        var breaker = Open();
        foreach (var pause in (double[])[1, 2, 3, 3])
        {
            _time.Advance(TimeSpan.FromSeconds(pause) - TimeSpan.FromTicks(1));
            Assert.False(_gate.IsOpen);
            _time.Advance(TimeSpan.FromTicks(1));
            var probe = Next();
            Assert.True(breaker.TryEnter(probe));
            Assert.False(Assert.IsType<SettleAction.Retry>(breaker.Judge(probe, Failed())).IsCounted);
            breaker.Leave(probe);
        }

        _time.Advance(TimeSpan.FromSeconds(3));
        var good = Next();
        Assert.True(breaker.TryEnter(good));
        breaker.Judge(good, Ack);
        for (var i = 0; i < 3; i++)
            Fail(breaker);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(_gate.IsOpen);
    }

    [Fact]
    public void Try_that_says_nothing_is_made_again_with_another_message()
    {
        var breaker = Open();
        _time.Advance(TimeSpan.FromSeconds(1));
        var lost = Next();
        Assert.True(breaker.TryEnter(lost));

        breaker.Judge(lost, SettleAction.Abandon.Instance);
        breaker.Leave(lost);

        Assert.True(_gate.IsOpen);
        Assert.True(breaker.TryEnter(Next()));
    }

    [Fact]
    public void Handlers_that_began_before_the_outage_do_not_close_it()
    {
        var breaker = Open();

        breaker.Judge(Next(), Ack);

        Assert.False(_gate.IsOpen);
    }

    [Fact]
    public void Share_of_failures_opens_it_once_enough_has_ended_within_the_window()
    {
        (_options.BreakerFailures, _options.BreakerFailureRatio, _options.BreakerMinimum) = (0, 0.5, 10);
        var breaker = Make();

        for (var i = 0; i < 4; i++)
        {
            Fail(breaker);
            breaker.Judge(Next(), Ack);
        }

        Assert.True(_gate.IsOpen);
        breaker.Judge(Next(), Ack);
        Fail(breaker);
        Assert.True(_gate.IsOpen); // Five of ten, but of one message since the last success.
        Fail(breaker);
        Assert.False(_gate.IsOpen);
    }

    [Fact]
    public void Failures_before_the_window_are_forgotten()
    {
        (_options.BreakerFailures, _options.BreakerFailureRatio, _options.BreakerMinimum) = (0, 0.5, 10);
        var breaker = Make();

        for (var i = 0; i < 9; i++)
            Fail(breaker);
        _time.Advance(_options.BreakerWindow);
        for (var i = 0; i < 9; i++)
            Fail(breaker);

        Assert.True(_gate.IsOpen);
        Fail(breaker);
        Assert.False(_gate.IsOpen);
    }

    /// <summary>Calls that run side by side are judged mixed up, and some handlers throw one and the same exception each time.</summary>
    [Fact]
    public void Call_of_a_batch_that_threw_is_one_failure_and_several_in_a_row_open_it()
    {
        var breaker = Make();
        var error = new TimeoutException();
        var (one, other, last) = (new BatchContext([]), new BatchContext([]), new BatchContext([]));

        for (var i = 0; i < 8; i++)
        {
            Assert.True(Fail(breaker, one, error).IsCounted);
            Assert.True(Fail(breaker, other, error).IsCounted);
        }

        Assert.True(_gate.IsOpen);
        for (var i = 0; i < 8; i++)
            Assert.False(Fail(breaker, last, error).IsCounted);
        Assert.Equal(WorkerState.Tripped, _gate.Current!.State);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(0, 0.1)]
    public void Calls_that_one_message_fails_use_up_attempts_and_do_not_open_it_where_others_succeed(int failures, double ratio)
    {
        (_options.BreakerFailures, _options.BreakerFailureRatio, _options.BreakerMinimum) = (failures, ratio, 2);
        var breaker = Make();

        for (var call = 0; call < 10; call++)
        {
            var (batch, error) = (new BatchContext([]), new TimeoutException());
            for (var i = 0; i < 8; i++)
                Assert.True(Fail(breaker, batch, error).IsCounted);
            breaker.Judge(Next(), Ack);
            Assert.True(Fail(breaker, batch, error).IsCounted);
            Assert.True(Fail(breaker).IsCounted); // Of one message since the success.
            breaker.Judge(Next(), Ack);
        }

        Assert.True(_gate.IsOpen);
    }

    [Fact]
    public void Messages_of_a_batch_that_fail_each_of_its_own_are_failures_of_their_own()
    {
        var breaker = Make();
        var batch = new BatchContext([]);

        Assert.True(Fail(breaker, batch, new TimeoutException()).IsCounted);
        Assert.True(Fail(breaker, batch, new TimeoutException()).IsCounted);
        Assert.False(Fail(breaker, batch, new TimeoutException()).IsCounted);
    }

    private CircuitBreaker Make()
    {
        var plan = new GroupPlan { Stream = "orders", Group = "billing", Consumer = "c", Options = _options, Routes = null! };
        return new(plan, _gate, _time, _meter, NullLogger.Instance);
    }

    private CircuitBreaker Open()
    {
        var breaker = Make();
        for (var i = 0; i < 3; i++)
            Fail(breaker);
        Assert.False(_gate.IsOpen);
        return breaker;
    }

    private SettleAction.Retry Fail(CircuitBreaker breaker) => Assert.IsType<SettleAction.Retry>(breaker.Judge(Next(), Failed()));

    private SettleAction.Retry Fail(CircuitBreaker breaker, BatchContext batch, Exception error) =>
        Assert.IsType<SettleAction.Retry>(breaker.Judge(Next(), new SettleAction.Retry(TimeSpan.Zero, error), batch));

    private static SettleAction.Retry Failed() => new(TimeSpan.Zero, new TimeoutException());

    private Delivery Next() => new(
        "orders", isAgain: false, isRecovered: false, new(new EntryId(++_lastId, 0), EntryFields.Create(("a", "b")), 1), renewedAt: 0);
}
