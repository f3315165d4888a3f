using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>Getting what is written onto the device: a second later, when somebody asks, or at the end.</summary>
internal sealed partial class StreamJournal
{
    /// <summary>Whether a write or sync failed.</summary>
    public bool HasFailed => Volatile.Read(ref _failure) is not null;

    /// <summary>Whether the record is known to be on the device.</summary>
    public bool IsSynced(long lsn) => Volatile.Read(ref _syncedLsn) >= lsn;

    /// <summary>Completes when the record is on the device, whatever the policy.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.ReadOnly"/>: a write or sync failed, this one or an earlier one.</exception>
    public async Task SyncAsync(long lsn)
    {
        await WhenDurableAsync(lsn).ConfigureAwait(false);
        if (IsSynced(lsn))
            return;

        // Not on the caller's thread, which may be the one that polls the sockets.
        await Task.Run(Sync).ConfigureAwait(false);
        lock (_gate)
        {
            if (_failure is not null)
                throw ReadOnly(_failure);
        }
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

    /// <summary>Syncs what is written, if the device may lack any of it.</summary>
    private void SyncWrittenBytes()
    {
        lock (_gate)
        {
            if (!_syncPending)
                return;
        }

        Sync();
    }

    /// <summary>Syncs what is written. Runs beside writes: they may go on, and set the timer again for what this sync does not cover.</summary>
    private void Sync()
    {
        long writtenLsn;
        lock (_gate)
        {
            if (_failure is not null)
                return;
            writtenLsn = _durableLsn;
            _syncPending = false;
        }

        try
        {
            _file.SyncData();
        }
        catch (Exception exception)
        {
            JournalLog.Latched(_logger, _path, exception.Message, exception);
            lock (_gate)
                _failure ??= exception;
            return;
        }

        lock (_gate)
            Volatile.Write(ref _syncedLsn, Math.Max(_syncedLsn, writtenLsn));
    }
}
