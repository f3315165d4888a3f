namespace Millrace.Consuming;

/// <summary>
/// What a delivery passes before its handler: an open gate, the rate limit, the breaker. It waits with its handler's place and its lease.
/// </summary>
internal sealed class Admission(ReadGate gate, RateLimiter limiter, CircuitBreaker breaker)
{
    /// <summary>Returns whether a handler may begin; otherwise the worker was told to stop.</summary>
    public ValueTask<bool> EnterAsync(Delivery delivery, CancellationToken stop) =>
        gate.IsOpen && !limiter.IsOn && !breaker.IsOn && !stop.IsCancellationRequested ? new(true) : EnterSlowAsync(delivery, stop);

    /// <summary>The delivery is through, or did not begin after all.</summary>
    public void Leave(Delivery delivery) => breaker.Leave(delivery);

    private async ValueTask<bool> EnterSlowAsync(Delivery delivery, CancellationToken stop)
    {
        var hasToken = false;
        while (!stop.IsCancellationRequested)
        {
            if (!gate.IsOpen)
                await gate.WhenOpenAsync(stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            hasToken = hasToken || await limiter.TakeAsync(stop).ConfigureAwait(false);
            if (hasToken && gate.IsOpen && breaker.TryEnter(delivery))
                return true;
        }

        return false;
    }
}
