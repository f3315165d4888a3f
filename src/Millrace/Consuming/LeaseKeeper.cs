using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// Renews the lease of everything the worker holds, queued and running: one call a stream each third of the lease. What the store does not
/// return belongs to somebody else now. So may, after a whole lease, what the store says nothing about.
/// </summary>
internal sealed class LeaseKeeper(IStreamStore store, GroupPlan plan, HeldDeliveries held, TimeProvider time, ILogger logger)
{
    private readonly LogLimit _failures = new(time);

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var period = plan.Options.Lease / 3;
        using var timer = new PeriodicTimer(period, time);
        Silence? silence = null;
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
            {
                // A process that was frozen finds leases over, and has time to ask whether anybody took the entries.
                silence ??= new(this, time, UntilNextEnd(least: period));
                if (!await RenewAsync(cancellationToken).ConfigureAwait(false))
                    continue;
                silence.Dispose();
                silence = null;
            }
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // The end of the loop, also when the store failed in the same moment.
        }
        finally
        {
            silence?.Dispose();
        }
    }

    /// <returns>Whether the store answered for everything.</returns>
    private async Task<bool> RenewAsync(CancellationToken cancellationToken)
    {
        // Also what a handler settles by hand: that commit may have to wait for the store to have room.
        var byStream = held.Snapshot().ToLookup(static delivery => delivery.IsAgain);
        var answers = await Task.WhenAll(
        [
            .. byStream[false].Chunk(StreamLimits.MaxBatch).Select(batch => ExtendAsync(plan.Stream, batch, cancellationToken)),
            .. byStream[true].Chunk(StreamLimits.MaxBatch).Select(batch => ExtendAsync(plan.Again, batch, cancellationToken)),
        ]).ConfigureAwait(false);
        return Array.TrueForAll(answers, static isAnswered => isAnswered);
    }

    private async Task<bool> ExtendAsync(string stream, IReadOnlyList<Delivery> deliveries, CancellationToken cancellationToken)
    {
        var now = time.GetTimestamp();
        try
        {
            var entries = deliveries.Select(delivery => delivery.Held).ToList();
            var extended = await store.ExtendAsync(stream, plan.Group, plan.Consumer, entries, cancellationToken).ConfigureAwait(false);
            var ours = extended.ToHashSet();
            foreach (var delivery in deliveries)
            {
                if (ours.Contains(delivery.Id))
                {
                    delivery.RenewedAt = now;
                }
                else if (!delivery.IsSettledByHand)
                {
                    delivery.IsTaken = true;
                    Lose(delivery);
                }
            }

            return true;
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            if (_failures.Allows())
                LogMessages.ExtendFailed(logger, exception, stream, plan.Group, deliveries.Count);
            return false;
        }
    }

    /// <summary>Gives up what was not renewed for a whole lease.</summary>
    /// <returns>When to do so again.</returns>
    private TimeSpan LoseOver()
    {
        foreach (var delivery in held.Snapshot())
            LoseIfOver(delivery);
        return UntilNextEnd(least: TimeSpan.FromMilliseconds(1));
    }

    private TimeSpan UntilNextEnd(TimeSpan least)
    {
        var next = plan.Options.Lease;
        foreach (var delivery in held.Snapshot())
        {
            var left = plan.Options.Lease - time.GetElapsedTime(delivery.RenewedAt, time.GetTimestamp());
            if (delivery is { IsLost: false, IsSettledByHand: false } && left < next)
                next = left;
        }

        return next > least ? next : least;
    }

    /// <summary>
    /// Gives a delivery up that was not renewed for a whole lease, before anybody begins with it: a process that was frozen finds entries in its
    /// queue that others took over meanwhile, and need not run them to be told so by the fence.
    /// </summary>
    /// <returns>Whether it is given up.</returns>
    public bool LoseIfOver(Delivery delivery)
    {
        if (time.GetElapsedTime(delivery.RenewedAt, time.GetTimestamp()) < plan.Options.Lease)
            return false;
        Lose(delivery);
        return true;
    }

    /// <summary>A delivery that was settled meanwhile is not held any more: nothing to lose.</summary>
    private void Lose(Delivery delivery)
    {
        if (delivery.IsSettledByHand || !held.IsHeld(delivery.IsAgain, delivery.Id))
            return;
        LogMessages.NotHeld(logger, plan, delivery);
        if (delivery.Lose())
            held.Remove(delivery);
    }

    /// <summary>
    /// The store is silent or fails: from the first call of a renewal until all calls of one are answered. A call may take longer than the lease to fail, and
    /// after a whole lease without an answer anybody may have the entries. Each silence has a watch of its own, which cannot be set again when it is over: left
    /// behind, it would give up what a process that was frozen holds before that can ask.
    /// </summary>
    private sealed class Silence : IDisposable
    {
        private readonly LeaseKeeper _leases;
        private readonly ITimer _watch;
        private volatile bool _isOver;

        public Silence(LeaseKeeper leases, TimeProvider time, TimeSpan first)
        {
            _leases = leases;
            _watch = time.CreateTimer(static silence => ((Silence)silence!).LoseOver(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _watch.Change(first, Timeout.InfiniteTimeSpan);
        }

        public void Dispose()
        {
            _isOver = true;
            _watch.Dispose();
        }

        private void LoseOver()
        {
            if (!_isOver)
                _watch.Change(_leases.LoseOver(), Timeout.InfiniteTimeSpan);
        }
    }
}
