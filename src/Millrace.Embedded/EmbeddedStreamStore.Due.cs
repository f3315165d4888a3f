using Millrace.Embedded.Journal;
using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Embedded;

/// <summary>What time does by itself: scheduled entries come due, state documents expire, pending entries become idle enough to be claimed.</summary>
public sealed partial class EmbeddedStreamStore
{
    /// <summary>
    /// While something is due at all, the clock is looked at this often: a timer goes by the monotonic clock and does not see that the wall
    /// clock jumped. What a jump makes due is late by no more.
    /// </summary>
    private static readonly TimeSpan LongestDueTimer = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Scheduled entries of one stream moved in one go: bounds how long everybody else waits, to about a millisecond. The rest follows with
    /// the next call, or by the timer.
    /// </summary>
    private const int MaxPromotions = 1_000;

    /// <summary>What became due while the journal takes nothing is looked at again this often, as the journal looks for room.</summary>
    private static readonly TimeSpan RefusedDelay = TimeSpan.FromSeconds(1);

    /// <summary>Takes note of a jump of time, before anybody sees the new moment.</summary>
    private void SkipTimeNeedsLock(long nowMs)
    {
        try
        {
            ApplyNeedsLock<SkipTime, bool>(new(_clock.SkippedMs), nowMs);
            _clock.ClearSkipped();
        }
        catch (StreamException e) when (e.Code is StreamErrorCode.ReadOnly or StreamErrorCode.Busy)
        {
            // The journal takes nothing now, so that nobody claims either; the next call tries again. Reads go on.
        }
    }

    private void TickNeedsLock(long nowMs)
    {
        if (_engine.NextDueMs <= nowMs)
            ApplyNeedsLock<Tick, int>(new(MaxPromotions), nowMs);
        if (_blocked.NextTryMs <= nowMs)
            ServeClaimsNeedsLock(nowMs);
    }

    /// <summary>Lets those try again who wait to claim. Each either is served or finds a later moment.</summary>
    private void ServeClaimsNeedsLock(long nowMs)
    {
        var database = _engine.Database;
        while (_blocked.FirstDue(nowMs) is { } read)
        {
            _engine.Select(read.Database);
            _blocked.TryServe(read, nowMs);
        }

        _engine.Select(database);
    }

    /// <summary>Sets the timer to the next due moment, unless it is set to that already.</summary>
    private void SetTimerNeedsLock(long nowMs)
    {
        var dueMs = Math.Min(_engine.NextDueMs, _blocked.NextTryMs);
        if (dueMs == _timerDueMs || _isClosed)
            return;

        _timerDueMs = dueMs;
        var delay = dueMs == long.MaxValue
            ? Timeout.InfiniteTimeSpan
            : TimeSpan.FromMilliseconds(Math.Clamp(dueMs - nowMs, 1, (long)LongestDueTimer.TotalMilliseconds));
        _dueTimer.Change(delay, Timeout.InfiniteTimeSpan);
    }

    private void OnDue()
    {
        long lsn;
        lock (_lock)
        {
            if (_isClosed)
                return;

            // The timer has run out, also when it ran ahead of the clock: then it is set again for the rest.
            _timerDueMs = long.MaxValue;
            try
            {
                lsn = LeaveNeedsLock(EnterNeedsLock());
            }
            catch (StreamException)
            {
                // The journal refuses writes; it has logged why and tells every caller. Who waits for what is due does not call again.
                if (_journal is { IsLatched: false })
                    _dueTimer.Change(RefusedDelay, Timeout.InfiniteTimeSpan);
                return;
            }
        }

        if (_journal is not null)
            _ = FlushAsync(_journal, lsn);
    }

    private static async Task FlushAsync(StreamJournal journal, long lsn)
    {
        try
        {
            await journal.WhenDurableAsync(lsn).ConfigureAwait(false);
        }
        catch (StreamException)
        {
            // Nobody waits for a tick. The journal has logged why it cannot be written, and every later call is told.
        }
    }
}
