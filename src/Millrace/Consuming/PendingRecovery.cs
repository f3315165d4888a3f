using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// The lane of entries that were delivered before and never settled: this consumer's own from a previous run, once, then idle ones of
/// anybody, at start and each half lease. The blocked read of new entries knows nothing of it.
/// </summary>
/// <remarks>
/// Entries delivered once are taken a page at a time, and the next page when handlers have begun with all of this one; were it to wait
/// for their end, one handler that never comes to it would keep everything else waiting. Entries delivered twice or more may be what
/// killed a process: they are taken one at a time, each when the one before is settled or has run for a lease, beside the normal work of
/// the group. If the process dies with one of them, the others have not been charged with that death.
/// </remarks>
/// <param name="reader">Lists and claims.</param>
/// <param name="plan">The group.</param>
/// <param name="gate">Nothing is taken over while it is closed.</param>
/// <param name="waitAtGate">Waits until it is open, and hands back meanwhile what a pause must not keep.</param>
/// <param name="time">The clock of the rounds.</param>
/// <param name="logger">The log.</param>
/// <param name="queue">Queues deliveries for the handlers.</param>
internal sealed class PendingRecovery(
    GroupReader reader,
    GroupPlan plan,
    ReadGate gate,
    Func<CancellationToken, ValueTask> waitAtGate,
    TimeProvider time,
    ILogger logger,
    Action<IReadOnlyList<Delivery>> queue)
{
    // What is left over waits for the next round; bounds the list after a disaster.
    private const int MaxSuspects = 1_000;

    private readonly LogLimit _failures = new(time);
    private readonly Queue<Suspect> _suspects = [];
    private Task _page = Task.CompletedTask;

    /// <summary>
    /// Takes over what is pending for this consumer and not held: left by a previous run, or by a read whose answer was lost on the way.
    /// Returns when all of it is at the handlers, except the suspects, whose turn comes in <see cref="RunAsync"/>. Not during that.
    /// </summary>
    public Task TakeOwnAsync(CancellationToken cancellationToken) => TakeAsync(isOwn: true, _suspects, cancellationToken);

    /// <summary>Runs the suspects found so far, then takes over idle entries, each half lease, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await waitAtGate(cancellationToken).ConfigureAwait(false);
            try
            {
                await RunSuspectsAsync(cancellationToken).ConfigureAwait(false);
                await TakeAsync(isOwn: false, _suspects, cancellationToken).ConfigureAwait(false);
                await RunSuspectsAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException exception) when (exception.Code == StreamErrorCode.NoGroup)
            {
                // Nothing is pending in a group that is gone; the reader of new entries makes it again.
                _suspects.Clear();
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                if (_failures.Allows())
                    LogMessages.RecoveryFailed(logger, exception, plan.Stream, plan.Group);
            }

            await Task.Delay(plan.Options.Lease / 2, time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>As <see cref="TakeOwnAsync"/>, at any time: suspects are left to the next round, once they are idle.</summary>
    public Task TakeLostAsync(CancellationToken cancellationToken) => TakeAsync(isOwn: true, new(), cancellationToken);

    private async Task TakeAsync(bool isOwn, Queue<Suspect> suspects, CancellationToken cancellationToken)
    {
        await TakeAsync(isAgain: true, isOwn, suspects, cancellationToken).ConfigureAwait(false);
        await TakeAsync(isAgain: false, isOwn, suspects, cancellationToken).ConfigureAwait(false);
    }

    private async Task TakeAsync(bool isAgain, bool isOwn, Queue<Suspect> suspects, CancellationToken cancellationToken)
    {
        EntryId? next = EntryId.Zero;
        List<EntryId> found = [];
        while (next is { } from && found.Count < MaxSuspects)
        {
            await WaitForPageAsync(cancellationToken).ConfigureAwait(false);
            (var taken, next) = await reader.TakePendingAsync(isAgain, isOwn, from, found, cancellationToken).ConfigureAwait(false);
            if (taken.Count == 0)
                continue;
            LogMessages.Recovered(logger, taken[0].Stream, plan.Group, taken.Count);
            _page = Task.WhenAll(taken.Select(delivery => delivery.LeftQueue));
            queue(taken);
            await waitAtGate(cancellationToken).ConfigureAwait(false); // It may have closed while the store answered.
        }

        foreach (var id in found)
            suspects.Enqueue(new(isAgain, isOwn, id));
    }

    /// <summary>Waits until handlers have begun with the page, or given back what is left of it, and the gate is open.</summary>
    private async Task WaitForPageAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await waitAtGate(cancellationToken).ConfigureAwait(false);
            try
            {
                await _page.WaitAsync(gate.Reading).ConfigureAwait(false);
                if (gate.IsOpen)
                    return;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // The gate was closed.
            }
        }
    }

    private async Task RunSuspectsAsync(CancellationToken cancellationToken)
    {
        while (_suspects.Count > 0)
        {
            await waitAtGate(cancellationToken).ConfigureAwait(false);

            // Its turn is over also when it cannot be claimed, as an entry larger than an answer may be: it is found again when it was idle for a lease, and
            // the next round begins with those behind it.
            var suspect = _suspects.Dequeue();
            var taken = await reader.ClaimAsync(suspect.IsAgain, suspect.IsOwn, suspect.Id, cancellationToken).ConfigureAwait(false);
            var ended = Task.WhenAll(taken.Select(delivery => delivery.Ended));
            queue(taken);
            await waitAtGate(cancellationToken).ConfigureAwait(false);
            try
            {
                await ended.WaitAsync(plan.Options.Lease, time, cancellationToken).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                // It runs on under its lease. The others have waited long enough: a handler that never ends must not keep them for ever.
            }
        }
    }

    private readonly record struct Suspect(bool IsAgain, bool IsOwn, EntryId Id);
}
