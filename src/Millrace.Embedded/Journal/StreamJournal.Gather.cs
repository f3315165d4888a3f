using System.Diagnostics;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Sharing syncs under <see cref="SyncPolicy.Always"/>. Those whom a sync released mostly write again at once. A sync that began with the first of
/// them would leave the others to the next one, and so take half of them each time; so it lets all come, and the last one writes.
/// </summary>
/// <remarks>
/// It waits no longer than a sync takes, so that nobody waits longer than for a sync that had just begun. Where not all come in that time, because
/// they have other things to do first or are too many for the processors, syncs do not wait for a while: then one after the other, each with who
/// came during the one before, is better.
/// </remarks>
internal sealed partial class StreamJournal
{
    /// <summary>The wait is spun, because no timer is as short; a slow device is not spun for longer than a millisecond.</summary>
    private static readonly long MaxGatherTicks = Stopwatch.Frequency / 1_000;

    /// <summary>Syncs that do not wait after waits in vain: 1, 3, 7, up to this many, among which a wait in vain costs little.</summary>
    private const int MaxSkipped = 63;

    /// <summary>Whether nobody writes because more are to come. Changed under the lock.</summary>
    private volatile bool _isGathering;

    /// <summary>How many are to come.</summary>
    private int _expected;

    private long _gatherTicks;
    private int _skipped;
    private int _toSkip;

    /// <summary>Decides whether the next write waits; if so, <see cref="EndGathering"/> must follow.</summary>
    /// <param name="released">Callers that the last one released.</param>
    /// <param name="writeTicks">How long that took.</param>
    private bool TryGatherNeedsLock(int released, long writeTicks)
    {
        if (_policy != SyncPolicy.Always || released < 2 || Failure is not null || _closed)
            return false;
        if (_toSkip > 0)
        {
            _toSkip--;
            return false;
        }

        _expected = _filling.WaiterCount + released;
        _gatherTicks = Math.Min(writeTicks, MaxGatherTicks);
        return _isGathering = true;
    }

    /// <summary>Whether a caller waits for others instead of writing; if not, it is the last one and writes.</summary>
    private bool MayGatherNeedsLock()
    {
        if (!_isGathering)
            return false;
        if (_filling.WaiterCount + 1 < _expected)
            return true;
        _skipped = 0;
        return false;
    }

    /// <summary>Waits for the last one, and writes what has come when it does not come in time.</summary>
    private void EndGathering()
    {
        // Not the store's clock: the time is the processor's, also where the store's stands still.
        var (start, spinner) = (Stopwatch.GetTimestamp(), new SpinWait());
        while (_isGathering && Stopwatch.GetTimestamp() - start < Volatile.Read(ref _gatherTicks))
            spinner.SpinOnce(sleep1Threshold: -1);

        TaskCompletionSource? refused = null;
        lock (_gate)
        {
            if (!_isGathering)
                return;
            _isGathering = false;
            _toSkip = _skipped = Math.Min((2 * _skipped) + 1, MaxSkipped);
            if (_failure is not null)
                refused = _filling.TakeWaiters();
            else if (_filling.HasWaiters)
                SwapNeedsLock();
            else
                return;
        }

        if (refused is not null)
            refused.SetException(ReadOnly(_failure!));
        else
            WriteBatch();
    }
}
