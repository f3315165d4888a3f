using System.Diagnostics;

namespace Millrace.Embedded.Journal;

/// <summary>Getting batches into segments.</summary>
internal sealed partial class StreamJournal
{
    private async ValueTask WriteRestAsync()
    {
        while (true)
        {
            // Null: the write is ours. Not the same as a task that has completed, which another writer's may do at any moment.
            Task? running = null;
            lock (_gate)
            {
                if (_failure is not null && (_isParked || _writing is null))
                    return;
                if (_isParked)
                    _isParked = false; // One last try.
                else if (_writing is not null)
                    running = _writing.Wait(true).Completion.AsTask();
                else if (_filling.Length == 0)
                    return;
                else
                    SwapNeedsLock();
            }

            if (running is null)
            {
                if (WriteBatch() is not null)
                    return;
            }
            else
            {
                await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // Its failure is in a field.
            }
        }
    }

    private void SwapNeedsLock()
    {
        _writing = _filling;
        _filling = _idle!;
        _idle = null;
        StopGatheringNeedsLock();
    }

    /// <summary>Writes the batch that the caller swapped out, tells those who wait, and sees to it that a batch with waiters is written next.</summary>
    /// <param name="isForCaller">Whether a caller writes who waits for it.</param>
    private Exception? WriteBatch(bool isForCaller = false)
    {
        var batch = _writing!;
        var start = Stopwatch.GetTimestamp();
        var failure = TryWrite(batch);

        BatchWaiters? written, gathered = null;
        Gathering? gathering = null;
        var writeNext = false;
        lock (_gate)
        {
            // A sync beside this write may have failed: nobody is told "done" after that.
            failure = _failure ?? failure;
            var released = batch.WaiterCount + (isForCaller ? 1 : 0);
            if (failure is null)
            {
                // Those who came while the device was full were told so; what they appended waits nevertheless.
                writeNext = _full is not null && _filling.LastLsn != 0;
                _full = null;
                _writtenLsn = batch.LastLsn;
                Volatile.Write(ref _durableLsn, batch.LastLsn);
                SetSyncTimerNeedsLock();
            }

            if (failure is Storage.StorageFullException full)
            {
                written = ParkNeedsLock(batch, full);
            }
            else
            {
                written = batch.Clear();
                _writing = null;
                _idle = batch;
                _failure ??= failure;
            }

            if (Failure is not null)
                gathered = _filling.TakeWaiters();

            // This caller has what it came for. Those who came meanwhile are written by the thread pool, not at this caller's expense.
            if (failure is null && !writeNext)
                gathering = TryGatherNeedsLock(released, Stopwatch.GetTimestamp() - start);
            writeNext |= _filling.HasWaiters && gathering is null;
            if (writeNext)
                SwapNeedsLock();
        }

        if (writeNext)
            _options.Background(() => WriteBatch());
        written?.Tell(failure is null ? null : InDoubt(failure), _options.Background, gathering);
        gathered?.Tell(InDoubt(Failure!), _options.Background);
        return failure;
    }

    private Exception? TryWrite(JournalBatch batch)
    {
        try
        {
            WriteFrames(batch);
        }
        catch (Exception exception)
        {
            return CutOff(exception);
        }

        if (_policy != SyncPolicy.Always)
            return null;
        Volatile.Write(ref _writtenLsn, batch.LastLsn);
        Sync(batch.LastLsn);
        return IsSynced(batch.LastLsn) ? null : _failure;
    }

    /// <summary>Frame by frame, so that what is written was just put under a checksum and still lies in the processor's cache.</summary>
    private void WriteFrames(JournalBatch batch)
    {
        var frames = batch.Frames;
        for (; batch.WrittenFrames < frames.Length; batch.WrittenFrames++)
        {
            var frame = frames[batch.WrittenFrames];
            if (frame.BeginsSegment || _segment.Length + frame.Length > _options.SegmentBytes)
                Roll(frame.FirstLsn);
            if (_policy == SyncPolicy.Always && frame.Length >= _options.MinAheadFrameBytes && frame.Length <= _options.MaxAheadFrameBytes)
                _segment.Extend(frame.Length, _options.AheadBytes, _options.SegmentBytes);
            _segment.Write(frame.Seal(_segment.Header.Salt, Volatile.Read(ref _syncedLsn)));
        }
    }
}
