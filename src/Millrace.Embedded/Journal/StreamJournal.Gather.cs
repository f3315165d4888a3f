using System.Diagnostics;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Sharing syncs under <see cref="SyncPolicy.Always"/>. Those whom a sync released mostly write again at once. A sync that began with the first of
/// them would leave the others to the next one, and so take half of them each time; so it lets all come, and the last one writes.
/// </summary>
/// <remarks>
/// It waits no longer than until all were told and have done what they do at once, and no longer than a sync takes, so that nobody waits longer than
/// for a sync that had just begun. Where not all come by then, because they have other things to do first or are too many for the processors, syncs
/// do not wait for a while: then one after the other, each with who came during the one before, is better.
/// </remarks>
internal sealed partial class StreamJournal
{
    /// <summary>Also beside a slow device nobody is waited for longer than a millisecond.</summary>
    private static readonly long MaxGatherTicks = Stopwatch.Frequency / 1_000;

    /// <summary>Syncs that do not wait after waits in vain: 1, 3, 7, up to this many, among which a wait in vain costs little.</summary>
    private const int MaxSkipped = 63;

    /// <summary>Set while nobody writes because more are to come. Changed under the lock.</summary>
    private Gathering? _gathering;

    private int _skipped;
    private int _toSkip;

    /// <summary>Decides whether the next write waits; if so, <see cref="EndGathering"/> must follow.</summary>
    /// <param name="released">Callers that the last one released.</param>
    /// <param name="writeTicks">How long that took.</param>
    private Gathering? TryGatherNeedsLock(int released, long writeTicks)
    {
        if (_policy != SyncPolicy.Always || released < 2 || Failure is not null || _closed)
            return null;
        if (_toSkip > 0)
        {
            _toSkip--;
            return null;
        }

        return _gathering = new(EndGathering, _filling.WaiterCount + released, Math.Min(writeTicks, MaxGatherTicks));
    }

    /// <summary>Whether a caller waits for others instead of writing; if not, it is the last one and writes.</summary>
    private bool MayGatherNeedsLock()
    {
        if (_gathering is null)
            return false;
        if (_filling.WaiterCount + 1 < _gathering.Expected)
            return true;
        _skipped = 0;
        return false;
    }

    /// <summary>Writes what has come when not all came in time.</summary>
    private void EndGathering(Gathering gathering)
    {
        BatchWaiters? refused = null;
        lock (_gate)
        {
            if (_gathering != gathering)
                return;
            StopGatheringNeedsLock();
            _toSkip = _skipped = Math.Min((2 * _skipped) + 1, MaxSkipped);
            if (_failure is not null)
                refused = _filling.TakeWaiters();
            else if (_filling.HasWaiters)
                SwapNeedsLock();
            else
                return;
        }

        if (refused is not null)
            refused.Tell(InDoubt(_failure!), _options.Background);
        else
            WriteBatch();
    }

    private void StopGatheringNeedsLock()
    {
        if (_gathering is { } gathering)
            gathering.IsOver = true;
        _gathering = null;
    }
}
