namespace Millrace.Consuming;

/// <summary>Whether and when a message that failed is tried again.</summary>
internal sealed class RetryPolicy(ConsumerOptions options)
{
    private readonly RetryRule[] _rules = [.. options.RetryRules];

    /// <param name="attempt">The attempt that failed, 1 for the first.</param>
    /// <param name="failure">What the handler, or its commit, threw.</param>
    public SettleAction Decide(int attempt, Exception failure)
    {
        if (failure is MessageRejectedException)
            return new SettleAction.DeadLetter(failure.Message, failure.InnerException);

        var rule = _rules.Length == 0 ? null : Array.Find(_rules, rule => Matches(rule.Exception, failure));
        var maxAttempts = rule?.MaxAttempts ?? options.MaxAttempts;
        if (attempt < maxAttempts)
            return new SettleAction.Retry(NextDelay(attempt, rule), failure);
        return new SettleAction.DeadLetter(
            rule?.MaxAttempts == 1 ? DeadLetterReasons.NotRetried : DeadLetterReasons.AttemptsExhausted, failure);
    }

    private TimeSpan NextDelay(int attempt, RetryRule? rule)
    {
        var max = rule?.MaxDelay ?? options.RetryMaxDelay;
        return Backoff.Next(attempt, rule?.BaseDelay ?? options.RetryBaseDelay, max);
    }

    /// <summary>By name up the base classes, which needs no type loaded by a name and survives trimming.</summary>
    private static bool Matches(string name, Exception failure)
    {
        for (var type = failure.GetType(); type is not null && type != typeof(object); type = type.BaseType)
        {
            if (type.FullName == name)
                return true;
        }

        return failure is AggregateException several && several.InnerExceptions.Any(inner => Matches(name, inner));
    }
}
