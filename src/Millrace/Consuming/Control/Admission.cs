namespace Millrace.Consuming;

/// <summary>
/// What a delivery passes before its handler: an open gate, its lane, the rate limit, the breaker. It waits with its handler's place and its lease.
/// </summary>
internal sealed class Admission(ReadGate gate, LaneShare? lane, RateLimiter limiter, CircuitBreaker breaker)
{
    /// <summary>Returns whether a handler may begin; otherwise the worker was told to stop, or the delivery was lost or handed back meanwhile.</summary>
    public ValueTask<bool> EnterAsync(Delivery delivery, CancellationToken stop) =>
        gate.IsOpen && lane is null && !limiter.IsOn && !breaker.IsOn && !stop.IsCancellationRequested ? new(true) : EnterSlowAsync(delivery, stop);

    /// <summary>Cancelled when the gate closes, or the worker is told to stop.</summary>
    public CancellationToken Closing => gate.Reading;

    /// <summary>Ends with the next change of the gate: what <see cref="MayStillBegin"/> says may be another then.</summary>
    public Task NextChange => gate.NextChange;

    /// <summary>Whether a handler may begin with a delivery that entered a while ago. A stop alone does not keep it from that.</summary>
    public bool MayStillBegin(Delivery delivery) =>
        gate.IsOpen || (gate.IsOpenBesides(WorkerState.Tripped) && breaker.IsTried(delivery));

    /// <summary>The delivery is through, or did not begin after all.</summary>
    public void Leave(Delivery delivery)
    {
        breaker.Leave(delivery);
        lane?.Budget.Leave();
    }

    private async ValueTask<bool> EnterSlowAsync(Delivery delivery, CancellationToken stop)
    {
        var hasToken = false;
        var hasPlace = lane is null;
        while (!stop.IsCancellationRequested && delivery.IsQueued)
        {
            if (!gate.IsOpen)
            {
                // A token is for now: kept for what waits here, all of that would begin at once when the gate opens.
                hasToken = false;
                hasPlace = LeaveLane(hasPlace);
                await gate.WhenOpenAsync(stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            hasPlace = hasPlace || await lane!.Budget.EnterAsync(lane.Index, stop).ConfigureAwait(false);
            hasToken = hasToken || (hasPlace && await limiter.TakeAsync(() => gate.IsOpen && delivery.IsQueued, stop).ConfigureAwait(false));
            if (hasToken && hasPlace && gate.IsOpen && breaker.TryEnter(delivery))
                return true;
        }

        LeaveLane(hasPlace);
        return false;
    }

    /// <summary>Other lanes need the place.</summary>
    /// <returns>Whether there is a place to be had without asking.</returns>
    private bool LeaveLane(bool hasPlace)
    {
        if (hasPlace)
            lane?.Budget.Leave();
        return lane is null;
    }
}
