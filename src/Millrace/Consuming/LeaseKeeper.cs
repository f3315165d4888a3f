using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// Renews the lease of everything the worker holds, queued and running: one call a stream each third of the lease. What the store does not
/// return belongs to somebody else now.
/// </summary>
internal sealed class LeaseKeeper(IStreamStore store, GroupPlan plan, HeldDeliveries held, TimeProvider time, ILogger logger)
{
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(plan.Options.Lease / 3, time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
            {
                var deliveries = held.Snapshot().Where(delivery => !delivery.IsSettledByHand).ToList();
                var byStream = deliveries.ToLookup(delivery => delivery.IsAgain);
                foreach (var batch in byStream[false].Chunk(StreamLimits.MaxBatch))
                    await ExtendAsync(plan.Stream, batch, cancellationToken).ConfigureAwait(false);
                foreach (var batch in byStream[true].Chunk(StreamLimits.MaxBatch))
                    await ExtendAsync(plan.Again, batch, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // The end of the loop, also when the store failed in the same moment.
        }
    }

    private async Task ExtendAsync(string stream, IReadOnlyList<Delivery> deliveries, CancellationToken cancellationToken)
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
                    delivery.RenewedAt = now;
                else
                    Lose(delivery);
            }
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            // The store cannot be asked. After a whole lease without an answer anybody may have the entries.
            LogMessages.ExtendFailed(logger, exception, stream, plan.Group, deliveries.Count);
            foreach (var delivery in deliveries)
                LoseIfOver(delivery);
        }
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
        LogMessages.LeaseLost(logger, delivery.Stream, plan.Group, delivery.Id);
        if (delivery.Lose())
            held.Remove(delivery);
    }
}
