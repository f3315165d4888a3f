using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Consuming;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Limits;

/// <summary>The bound of the limit, by a clock that only the test moves.</summary>
public sealed class RateLimiterTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 1)]
    [InlineData(20, 1)]
    [InlineData(15, 60)]
    [InlineData(1000, 1)]
    public async Task Tokens_of_two_processes_in_any_period_are_never_more_than_the_limit_and_three_windows(int limit, int periodSeconds)
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        var plan = new GroupPlan
        {
            Stream = "orders",
            Group = "billing",
            Consumer = "c",
            Options = new() { RateLimit = limit, RatePeriod = TimeSpan.FromSeconds(periodSeconds) },
            Routes = null!,
        };
        var used = 0;
        using var stop = new CancellationTokenSource();
        async Task UseAsync()
        {
            var limiter = new RateLimiter(store, plan, time, NullLogger.Instance);
            while (await limiter.TakeAsync(static () => true, stop.Token))
                Interlocked.Increment(ref used);
        }

        var takers = Enumerable.Range(0, 2).Select(_ => Task.Run(UseAsync)).ToList();
        var wanted = 3 * limit;
        List<(DateTimeOffset At, int Used)> samples = [];
        await Eventually.TrueAsync("three periods' tokens are used", () =>
        {
            // Only this moves the clock, so what was used between two samples was used between their times. Two may just be on their way.
            samples.Add((time.GetUtcNow(), Volatile.Read(ref used)));
            time.Advance(plan.Options.RatePeriod / 97);
            return ValueTask.FromResult(samples[^1].Used >= wanted);
        });
        await stop.CancelAsync();
        await Task.WhenAll(takers);

        var tokensPerWindow = (limit + 9) / 10;
        for (var i = 0; i < samples.Count; i++)
        {
            var last = samples.FindLastIndex(sample => sample.At <= samples[i].At + plan.Options.RatePeriod);
            Assert.InRange(samples[last].Used - samples[i].Used, 0, limit + (3 * tokensPerWindow) + 2);
        }
    }
}
