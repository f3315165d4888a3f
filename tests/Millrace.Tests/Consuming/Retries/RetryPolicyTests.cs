using Millrace.Consuming;

namespace Millrace.Tests.Consuming.Retries;

public sealed class RetryPolicyTests
{
    private readonly ConsumerOptions _options = new() { MaxAttempts = 3, RetryBaseDelay = TimeSpan.FromSeconds(1) };

    [Fact]
    public void Exception_without_a_rule_is_tried_as_often_as_the_group_says()
    {
        _options.DeadLetterOn<FormatException>();

        Assert.IsType<SettleAction.Retry>(Decide(2, new TimeoutException()));
        Assert.Equal(DeadLetterReasons.AttemptsExhausted, Reason(Decide(3, new TimeoutException())));
    }

    [Fact]
    public void Exception_that_is_never_tried_again_is_dead_at_any_attempt()
    {
        _options.DeadLetterOn<ArgumentException>();

        Assert.Equal(DeadLetterReasons.NotRetried, Reason(Decide(1, new ArgumentException("no"))));
        Assert.Equal(DeadLetterReasons.NotRetried, Reason(Decide(2, new ArgumentNullException("derived"))));
    }

    [Fact]
    public void Rule_that_comes_first_wins_over_one_that_fits_closer()
    {
        _options.RetryOn<SystemException>(maxAttempts: 2).RetryOn<FormatException>(maxAttempts: 9);

        Assert.Equal(DeadLetterReasons.AttemptsExhausted, Reason(Decide(2, new FormatException())));
    }

    [Fact]
    public void Exception_inside_an_aggregate_decides()
    {
        _options.DeadLetterOn<FormatException>();

        var nested = new AggregateException(new TimeoutException(), new AggregateException(new FormatException()));
        Assert.Equal(DeadLetterReasons.NotRetried, Reason(Decide(1, nested)));
        Assert.IsType<SettleAction.Retry>(Decide(1, new InvalidOperationException("no aggregate", new FormatException())));
    }

    [Fact]
    public void Rule_has_delays_of_its_own_with_full_jitter()
    {
        _options.RetryOn<TimeoutException>(maxAttempts: 100, baseDelay: TimeSpan.FromHours(1), maxDelay: TimeSpan.FromHours(3));

        var first = Enumerable.Range(0, 200).Select(_ => Delay(Decide(1, new TimeoutException()))).ToList();
        var late = Enumerable.Range(0, 200).Select(_ => Delay(Decide(50, new TimeoutException()))).ToList();

        Assert.All(first, delay => Assert.InRange(delay, TimeSpan.Zero, TimeSpan.FromHours(1)));
        Assert.All(late, delay => Assert.InRange(delay, TimeSpan.Zero, TimeSpan.FromHours(3)));
        Assert.Contains(late, delay => delay > TimeSpan.FromHours(1));
        Assert.InRange(Delay(Decide(1, new FormatException())), TimeSpan.Zero, TimeSpan.FromSeconds(1));
    }

    [Fact]
    public void Rejected_message_is_dead_whatever_the_rules_say()
    {
        _options.RetryOn<Exception>(maxAttempts: 100);

        Assert.Equal("bad", Reason(Decide(1, new MessageRejectedException("bad"))));
    }

    private SettleAction Decide(int attempt, Exception failure) => new RetryPolicy(_options).Decide(attempt, failure);

    private static string Reason(SettleAction action) => Assert.IsType<SettleAction.DeadLetter>(action).Reason;

    private static TimeSpan Delay(SettleAction action) => Assert.IsType<SettleAction.Retry>(action).Delay;
}
