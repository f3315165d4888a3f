namespace Millrace.Consuming;

/// <summary>
/// What a delivery passes before its handler: an open gate, its lane, the rate limit, the breaker. It waits with its handler's slot and its lease.
/// </summary>
internal sealed class Admission(ReadGate gate, LaneShare? lane, RateLimiter limiter, CircuitBreaker breaker)
{
    private readonly LaneLine? _line = lane is null ? null : new(lane);

    /// <summary>Cancelled when the gate closes, or the worker is told to stop.</summary>
    public CancellationToken Closing => gate.Reading;

    /// <summary>Ends with the next change of the gate: what <see cref="MayStillBegin"/> says may be another then.</summary>
    public Task NextChange => gate.NextChange;

    /// <summary>Notes the order of deliveries, before threads take them. Each is to enter once.</summary>
    public void Queue(IReadOnlyList<Delivery> deliveries) => _line?.Add(deliveries);

    /// <summary>Waits until a handler may begin with a delivery.</summary>
    /// <returns>
    /// Which one: with lanes whichever of those queued is first. None: the worker was told to stop, or it was lost or handed back meanwhile.
    /// </returns>
    public ValueTask<Delivery?> EnterAsync(Delivery delivery, CancellationToken stop)
    {
        if (_line is not null)
            return EnterLaneAsync(_line, stop);
        return gate.IsOpen && !limiter.IsOn && !breaker.IsOn && !stop.IsCancellationRequested ? new(delivery) : EnterSlowAsync(delivery, stop);
    }

    /// <summary>Whether a handler may begin with a delivery that entered a while ago. A stop alone does not keep it from that.</summary>
    public bool MayStillBegin(Delivery delivery) =>
        gate.IsOpen || (gate.IsOpenBesides(WorkerState.Tripped) && breaker.IsTried(delivery));

    /// <summary>The delivery is through, or did not begin after all.</summary>
    public void Leave(Delivery delivery)
    {
        breaker.Leave(delivery);
        _line?.Leave();
    }

    /// <summary>Says which delivery is not to enter any more, where waiting failed.</summary>
    public Delivery? TakeOut(Delivery delivery) => _line is null ? delivery : _line.TakeOut();

    private async ValueTask<Delivery?> EnterSlowAsync(Delivery delivery, CancellationToken stop)
    {
        var hasToken = false;
        while (!stop.IsCancellationRequested && delivery.IsQueued)
        {
            if (!gate.IsOpen)
            {
                // A token is for now: kept for what waits here, all of that would begin at once when the gate opens.
                hasToken = false;
                await gate.WhenOpenAsync(stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            hasToken = hasToken || await limiter.TakeAsync(() => gate.IsOpen && delivery.IsQueued, stop).ConfigureAwait(false);
            if (hasToken && gate.IsOpen && breaker.TryEnter(delivery))
                return delivery;
        }

        return null;
    }

    /// <summary>A place of the lane is not kept behind a closed gate, and a delivery leaves the line when it begins: until then it stays where it is.</summary>
    private async ValueTask<Delivery?> EnterLaneAsync(LaneLine line, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await gate.WhenOpenAsync(stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!await line.EnterAsync(stop).ConfigureAwait(false))
                return null;
            Delivery? first = null;
            try
            {
                var hasToken = await limiter.TakeAsync(() => gate.IsOpen && line.IsAny, stop).ConfigureAwait(false);
                first = hasToken && gate.IsOpen ? line.TryTake(breaker.TryEnter) : null;
                if (first is not null)
                    return first;
            }
            finally
            {
                if (first is null)
                    line.GiveUp();
            }
        }

        return null;
    }
}
