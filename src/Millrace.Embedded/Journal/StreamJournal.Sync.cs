using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>Getting what is written onto the device: with each batch, a second later, when somebody asks, or at the end.</summary>
internal sealed partial class StreamJournal
{
    /// <summary>Unsynced bytes are synced this long after the first of them was written, under <see cref="SyncPolicy.EverySecond"/>.</summary>
    private static readonly TimeSpan SyncDelay = TimeSpan.FromSeconds(1);

    /// <summary>Held during a sync: the next one may find that this one has done its work.</summary>
    private readonly Lock _syncing = new();

    /// <summary>Whether a file has bytes that the device may lack, and the timer is set to sync them.</summary>
    private bool _syncPending;

    /// <summary>
    /// A sync failed, so that none is tried again. Another failure does not end syncs: what was acknowledged before it still gets to the device.
    /// </summary>
    private bool _syncFailed;

    /// <summary>Whether the record is known to be on the device.</summary>
    public bool IsSynced(long lsn) => Volatile.Read(ref _syncedLsn) >= lsn;

    /// <summary>Completes when the record is on the device, whatever the policy. Syncs on the caller's thread.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.OutcomeUnknown"/>: a write or sync failed, this one or an earlier one.</exception>
    public async Task SyncAsync(long lsn)
    {
        await WhenDurableAsync(lsn).ConfigureAwait(false);
        Sync(lsn);
        if (!IsSynced(lsn))
            throw InDoubt(_failure!);
    }

    private void SetSyncTimerNeedsLock()
    {
        if (_policy == SyncPolicy.Always || _syncPending)
            return;

        // Under Never the flag alone is kept, for the sync when the store closes.
        _syncPending = true;
        if (_policy == SyncPolicy.EverySecond && !_closed)
            _syncTimer.Change(SyncDelay, Timeout.InfiniteTimeSpan);
    }

    private void SyncAside() => _options.Aside(SyncWrittenBytes);

    /// <summary>Syncs what is written, if the device may lack any of it.</summary>
    private void SyncWrittenBytes() => Sync(Volatile.Read(ref _writtenLsn));

    /// <summary>
    /// Syncs what is written, unless another call did so up to the record meanwhile. Runs beside writes: they may go on, and set the timer again
    /// for what this sync does not cover. A failure latches the journal.
    /// </summary>
    private void Sync(long lsn)
    {
        lock (_syncing)
        {
            long writtenLsn;
            JournalSegment[] files;
            lock (_gate)
            {
                if (_syncedLsn >= lsn || _syncFailed)
                    return;
                writtenLsn = _writtenLsn;
                _syncPending = false;
                files = [.. _ended, _segment];
            }

            try
            {
                foreach (var file in files)
                    file.File.SyncData();
            }
            catch (Exception exception)
            {
                _syncFailed = true;
                Latch(exception);
                return;
            }

            lock (_gate)
            {
                Volatile.Write(ref _syncedLsn, Math.Max(_syncedLsn, writtenLsn));
                _ended.RemoveRange(0, files.Length - 1);
            }

            foreach (var ended in files.AsSpan(..^1))
                ended.Dispose();
        }
    }

    /// <summary>The last thing in a journal that is closed: a frame that says that all is synced.</summary>
    private void MarkClose()
    {
        if (Failure is not null || (_markedLsn == _syncedLsn && !_segment.IsExtended))
            return;
        try
        {
            if (_markedLsn != _syncedLsn)
                _segment.Write(FrameKind.Mark, _appendedLsn + 1, _syncedLsn);
            _segment.Trim();
            _segment.File.SyncData();
        }
        catch (StorageFullException exception)
        {
            // Nothing is lost without it: only damage to the last frame would pass for a write that was cut off.
            JournalLog.Full(_logger, _segment.Path, exception.Message, exception);
            CutOff(exception);
        }
        catch (Exception exception)
        {
            Latch(exception);
        }
    }

    private void CloseFiles()
    {
        foreach (var ended in _ended)
            ended.Dispose();
        _segment.Dispose();
    }
}
