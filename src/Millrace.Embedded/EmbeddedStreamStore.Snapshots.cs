using System.Diagnostics;
using Millrace.Embedded.Journal;
using Millrace.Streams;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Embedded;

/// <summary>
/// Snapshots: the engine is captured under the lock, which takes about as long as a look at each key, and written on another thread while calls go on.
/// Then the journal before it is deleted. One at a time; one begins when the journal has grown by as much as the last one took, and is worth it.
/// </summary>
public sealed partial class EmbeddedStreamStore
{
    /// <summary>How many times <see cref="EmbeddedStoreOptions.SnapshotAfterBytes"/> the journal grows where a snapshot would free little.</summary>
    private const int MostPatience = 8;

    private readonly long _snapshotAfterBytes;
    private readonly CancellationTokenSource _snapshotCancellation = new();

    /// <summary>Writes the snapshot, or wrote the last one. Changed under the lock.</summary>
    private Task _snapshot = Task.CompletedTask;

    /// <summary>When a snapshot was last published, in Unix milliseconds. Also read outside the lock, like the two below.</summary>
    private long _lastSnapshotMs;

    private bool _hasSnapshotFailed;

    /// <summary>Bytes of the journal at which the next one begins.</summary>
    private long _snapshotDueBytes;

    /// <summary>Whether a snapshot is being written.</summary>
    internal bool IsSavingNeedsLock => !_snapshot.IsCompleted;

    /// <summary>Whether the last snapshot could not be written. The journal takes records nevertheless.</summary>
    internal bool HasSnapshotFailed => Volatile.Read(ref _hasSnapshotFailed);

    /// <summary>When a snapshot was last published, in Unix milliseconds; 0: none by this process.</summary>
    internal long LastSnapshotMs => Volatile.Read(ref _lastSnapshotMs);

    /// <summary>Whether another one is to follow.</summary>
    internal bool IsSaveScheduledNeedsLock { get; private set; }

    /// <summary>Records that the newest snapshot does not cover.</summary>
    internal long RecordsSinceSnapshotNeedsLock => _journal is null ? 0 : LastLsnNeedsLock - _journal.SnapshotLsn;

    /// <summary>Bytes of the newest snapshot.</summary>
    internal long SnapshotBytes => _journal?.SnapshotBytes ?? 0;

    /// <summary>Bytes of the records behind it.</summary>
    internal long BytesSinceSnapshot => _journal?.BytesSinceSnapshot ?? 0;

    /// <summary>Writes a snapshot of what is there now.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Unavailable"/>: the device failed; the journal has everything.
    /// <see cref="StreamErrorCode.ReadOnly"/>, <see cref="StreamErrorCode.OutcomeUnknown"/>: the journal does not take records.
    /// <see cref="StreamErrorCode.Closed"/>.</exception>
    internal Task SaveAsync()
    {
        lock (_lock)
            return IsSavingNeedsLock ? ScheduleSaveNeedsLock() : SaveNeedsLock();
    }

    /// <summary>Begins a snapshot of what is there when the lock is free again. Only with a data directory, and while none is being written.</summary>
    /// <returns>Ends when the snapshot is on the device, or fails as <see cref="SaveAsync()"/> says.</returns>
    internal Task SaveNeedsLock()
    {
        Debug.Assert(_journal is not null && !IsSavingNeedsLock, "There is something to save, and nobody does.");
        return StartNeedsLock(_journal, static (store, journal) => store.InBackground(() => store.SaveAsync(journal)));
    }

    /// <summary>The same when the one being written is done. Several that wait for that are one.</summary>
    internal Task ScheduleSaveNeedsLock()
    {
        if (IsSaveScheduledNeedsLock)
            return _snapshot;
        IsSaveScheduledNeedsLock = true;
        return StartNeedsLock(_journal!, static (store, journal) => store.SaveAfterAsync(store._snapshot, journal));
    }

    private Task StartNeedsLock(StreamJournal journal, Func<EmbeddedStreamStore, StreamJournal, Task> start)
    {
        if (_isClosed)
            return Task.FromException(Closed());
        _snapshot = start(this, journal);

        // Often nobody waits for it. What went wrong is logged, and it is tried again.
        _ = _snapshot.ContinueWith(
            static saving => saving.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        return _snapshot;
    }

    private Task InBackground(Func<Task> work)
    {
        var started = new TaskCompletionSource<Task>();
        _journalOptions.Background(() => started.SetResult(work()));
        return started.Task.Unwrap();
    }

    private async Task SaveAfterAsync(Task running, StreamJournal journal)
    {
        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        lock (_lock)
            IsSaveScheduledNeedsLock = false;
        await SaveAsync(journal).ConfigureAwait(false);
    }

    private void SaveIfDueNeedsLock(StreamJournal journal)
    {
        if (journal.BytesSinceSnapshot >= _snapshotDueBytes && !IsSavingNeedsLock && IsWorthSavingNeedsLock(journal))
            SaveNeedsLock();
    }

    /// <summary>
    /// A store that only grows would write all it holds again and again and free nothing: its journal is what it holds. Where half of the files can go, a
    /// snapshot is worth it; and it bounds what a start must apply. One that failed is tried again without asking.
    /// </summary>
    private bool IsWorthSavingNeedsLock(StreamJournal journal) =>
        (journal.SnapshotBytes + journal.BytesSinceSnapshot) / 2 >= _engine.UsedBytes ||
        journal.BytesSinceSnapshot / MostPatience >= _snapshotAfterBytes ||
        HasSnapshotFailed;

    private void SetSnapshotDueNeedsLock(StreamJournal journal) => _snapshotDueBytes = Math.Max(_snapshotAfterBytes, journal.SnapshotBytes);

    private async Task SaveAsync(StreamJournal journal)
    {
        try
        {
            var started = _time.GetTimestamp();
            var image = Capture(journal, out var lsn);
            if (image is null)
                return;
            JournalLog.Captured(_logger, image.KeyCount, lsn, _time.GetElapsedTime(started).TotalMilliseconds);
            await journal.PublishSnapshotAsync(lsn, emit => SnapshotWriter.Write(image, emit), _snapshotCancellation.Token).ConfigureAwait(false);
            Volatile.Write(ref _hasSnapshotFailed, false);
            Volatile.Write(ref _lastSnapshotMs, _time.GetUtcNow().ToUnixTimeMilliseconds());
        }
        catch (OperationCanceledException)
        {
            throw Closed();
        }
        catch (Exception exception)
        {
            Volatile.Write(ref _hasSnapshotFailed, true);
            JournalLog.SnapshotFailed(_logger, exception.Message, exception);
            if (exception is not IOException)
                throw;
            throw new StreamException(StreamErrorCode.Unavailable, $"The snapshot could not be written: {exception.Message}", exception);
        }
        finally
        {
            lock (_lock)
                SetSnapshotDueNeedsLock(journal);
        }
    }

    /// <summary>The engine and the record it stands for, or null when the newest snapshot has it all.</summary>
    private EngineImage? Capture(StreamJournal journal, out long lsn)
    {
        lock (_lock)
        {
            if (_isClosed)
                throw Closed();
            if (journal.Failure is { } failure)
                throw new StreamException(StreamErrorCode.ReadOnly, $"The journal takes no more records: {failure.Message}", failure);
            lsn = _lastLsn;
            if (lsn == journal.SnapshotLsn)
                return null;
            lsn = journal.BeginSnapshot();
            return _engine.Capture();
        }
    }

    /// <summary>Gives up what is being written, of which nothing stays behind.</summary>
    private async ValueTask EndSnapshotAsync()
    {
        await _snapshotCancellation.CancelAsync().ConfigureAwait(false);
        await _snapshot.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // Whoever waits for it is told.
        _snapshotCancellation.Dispose();
    }
}
