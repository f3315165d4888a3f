namespace Millrace.Consuming;

/// <summary>Exponential waits with full jitter: a random share of a bound that doubles, so that failing callers spread out.</summary>
internal static class Backoff
{
    /// <summary>The wait after a number of failures in a row.</summary>
    /// <param name="failures">1 or more.</param>
    /// <param name="first">The bound after the first.</param>
    /// <param name="max">The largest bound.</param>
    public static TimeSpan Next(int failures, TimeSpan first, TimeSpan max)
    {
        // 2^40 times any base is past every maximum; stops the shift from overflowing.
        var bound = Math.Min(max.TotalMilliseconds, first.TotalMilliseconds * (1L << Math.Min(failures - 1, 40)));
        return TimeSpan.FromMilliseconds(Random.Shared.NextDouble() * bound);
    }

    /// <summary>
    /// The wait before a store that failed is asked again: up to 50 ms at first, 5 s later; never zero, which would spin.
    /// </summary>
    public static Task WaitForStoreAsync(int failures, TimeProvider time, CancellationToken cancellationToken)
    {
        var wait = TimeSpan.FromMilliseconds(10) + Next(failures, TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(5));
        return Task.Delay(wait, time, cancellationToken);
    }
}
