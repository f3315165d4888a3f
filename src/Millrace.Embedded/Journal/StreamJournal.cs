using Microsoft.Extensions.Logging;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// The write-ahead journal of one data directory: every record the engine applied, in order, so that replaying them makes the engine again.
/// </summary>
/// <remarks>
/// <para>A write has two halves. <see cref="Append"/> copies the record into the batch being filled, under the store's lock, without IO.
/// <see cref="WhenDurableAsync"/>, outside that lock, gets it to disk: who finds no write running swaps the two batches and writes inline (a thread
/// hop would cost more than the write); everybody else waits for that write, or for the next one, which takes all that gathered meanwhile. So
/// there is at most one write at a time, and concurrent callers share it and its sync.</para>
/// <para>A failed write or sync latches the journal: what the operating system has kept is unknown from there on, so nothing is retried, and
/// every later append fails with <see cref="StreamErrorCode.ReadOnly"/> until a restart recovers what is there. What was durable stays readable.</para>
/// <para>Memory: a batch grows to what its callers append during one write. The store keeps that near <see cref="FullBatchBytes"/> by awaiting
/// <see cref="WhenRoomAsync"/> before it takes its lock; <see cref="MaxBatchBytes"/> is the hard bound. Nothing is allocated per record.</para>
/// </remarks>
internal sealed partial class StreamJournal : IAsyncDisposable
{
    /// <summary>Back-pressure begins here: 64 MiB, far above what gathers during one write of a device that keeps up.</summary>
    public const int FullBatchBytes = 64 * 1024 * 1024;

    /// <summary>No batch grows above this: 256 MiB. Reached only by callers that do not wait for room.</summary>
    public const int MaxBatchBytes = 256 * 1024 * 1024;

    /// <summary>Unsynced bytes are synced this long after the first of them was written, under <see cref="SyncPolicy.EverySecond"/>.</summary>
    private static readonly TimeSpan SyncDelay = TimeSpan.FromSeconds(1);

    private readonly SyncPolicy _policy;
    private readonly ILogger _logger;
    private readonly string _path;
    private readonly IStorageDevice _device;
    private readonly IStorageFile _file;
    private readonly ulong _salt;
    private readonly ITimer _syncTimer;

    /// <summary>Guards every field below. Never held during IO.</summary>
    private readonly Lock _gate = new();

    /// <summary>Takes the records that are appended now.</summary>
    private JournalBatch _filling = new();

    /// <summary>The other batch while nobody writes; <see langword="null"/> while it is being written.</summary>
    private JournalBatch? _idle = new();

    /// <summary>The batch being written; its writer alone touches its bytes.</summary>
    private JournalBatch? _writing;

    /// <summary>The LSN of the last record appended.</summary>
    private long _appendedLsn;

    /// <summary>The LSN up to which records are as durable as the policy promises. Read without the lock, too: it only grows.</summary>
    private long _durableLsn;

    /// <summary>
    /// The LSN up to which records are known to be on the device; -1: not even what was recovered. Read without the lock, too: it only grows.
    /// </summary>
    private long _syncedLsn = -1;

    /// <summary>Bytes of the file that hold whole records: where the next batch goes. Changed by the sole writer only.</summary>
    private long _length;

    /// <summary>Whether the file has bytes that the device may lack, and the timer is set to sync them.</summary>
    private bool _syncPending;

    /// <summary>Why the journal takes no more records; the first cause wins.</summary>
    private Exception? _failure;

    private bool _closed;

    private StreamJournal(
        IStorageDevice device, JournalOptions options, TimeProvider time, ILogger logger, string path, IStorageFile file, RecoveredSegment segment)
    {
        _policy = options.Sync;
        _logger = logger;
        _path = path;
        _device = device;
        _file = file;
        _salt = segment.Header.Salt;
        _length = segment.Length;
        _appendedLsn = _durableLsn = segment.LastLsn;
        _syncTimer = time.CreateTimer(static state => ((StreamJournal)state!).SyncWrittenBytes(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Makes the journal when there is none, and replays it.</summary>
    /// <param name="device">The locked directory. It is the journal's from now on, and closed also when this fails.</param>
    /// <param name="options">How durable.</param>
    /// <param name="time">Runs the timer of <see cref="SyncPolicy.EverySecond"/>; it is set only while there are unsynced bytes.</param>
    /// <param name="logger">Told of a torn tail, and of the failure that latches the journal.</param>
    /// <param name="replay">Called with each record in order. The memory is valid during the call only: copy what outlives it.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>.</exception>
    public static StreamJournal Open(
        IStorageDevice device, JournalOptions options, TimeProvider time, ILogger logger, Action<ReadOnlyMemory<byte>> replay)
    {
        IStorageFile? file = null;
        try
        {
            var name = JournalFiles.EnsureSegment(device);
            var path = Path.Combine(device.Path, name);
            file = device.Open(name, writable: true);
            var segment = new JournalRecovery(file, path, logger).Run(replay);
            return new(device, options, time, logger, path, file, segment);
        }
        catch
        {
            file?.Dispose();
            device.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Completes when there is room for more records; at once as long as less than <see cref="FullBatchBytes"/> wait. To be awaited before the
    /// store's lock is taken, never under it.
    /// </summary>
    public ValueTask WhenRoomAsync()
    {
        lock (_gate)
        {
            if (_filling.Length < FullBatchBytes || _failure is not null || _closed)
                return ValueTask.CompletedTask;
        }

        return WhenDurableAsync(Volatile.Read(ref _appendedLsn));
    }

    /// <summary>
    /// Throws what <see cref="Append"/> would throw. To be called under the store's lock before the engine applies a mutation, so that nothing
    /// is applied that cannot be appended.
    /// </summary>
    /// <param name="recordBytes">Bytes of the record; an upper bound will do.</param>
    public void CheckAppend(int recordBytes)
    {
        lock (_gate)
            CheckAppendNeedsLock(recordBytes);
    }

    /// <summary>Copies a record into the batch being filled. No IO. The caller holds the store's lock, so that calls never overlap.</summary>
    /// <returns>The record's LSN.</returns>
    /// <exception cref="StreamException">
    /// <see cref="StreamErrorCode.ReadOnly"/>: an earlier write failed. <see cref="StreamErrorCode.LimitExceeded"/>: the record is too large.
    /// <see cref="StreamErrorCode.Busy"/>: the batch is. <see cref="StreamErrorCode.Closed"/>. Nothing was appended.
    /// </exception>
    public long Append(ReadOnlySpan<byte> record)
    {
        lock (_gate)
        {
            CheckAppendNeedsLock(record.Length);
            _filling.Add(_salt, _appendedLsn + 1, record);
            return ++_appendedLsn;
        }
    }

    /// <summary>Whether the record is as durable as the policy promises.</summary>
    public bool IsDurable(long lsn) => Volatile.Read(ref _durableLsn) >= lsn;

    /// <summary>
    /// Completes when the record is as durable as the policy promises. Already so: at once. Nobody writes: this caller does, before the call
    /// returns. Otherwise: with the write that takes the record, on the thread pool.
    /// </summary>
    /// <param name="lsn">The record; zero stands for none.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.ReadOnly"/>: the write failed, or an earlier one did.</exception>
    public ValueTask WhenDurableAsync(long lsn)
    {
        if (IsDurable(lsn))
            return ValueTask.CompletedTask;

        lock (_gate)
        {
            if (_durableLsn >= lsn)
                return ValueTask.CompletedTask;
            if (_writing is not null)
                return new(lsn <= _writing.LastLsn ? _writing.WhenDurable() : _filling.WhenDurable());
            if (_failure is not null)
                throw ReadOnly(_failure);
            if (_closed)
                throw Closed();
            SwapNeedsLock();
        }

        WriteBatch();
        return Volatile.Read(ref _durableLsn) >= lsn ? ValueTask.CompletedTask : throw ReadOnly(_failure!);
    }

    /// <summary>Writes and syncs what was appended, whatever the policy, and lets go of the directory.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.ReadOnly"/>: this last write failed. An earlier failure is not repeated.</exception>
    public async ValueTask DisposeAsync()
    {
        bool failedBefore;
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
            failedBefore = _failure is not null;
        }

        await _syncTimer.DisposeAsync().ConfigureAwait(false);
        await WriteRestAsync().ConfigureAwait(false);
        SyncWrittenBytes();
        _file.Dispose();
        _device.Dispose();
        if (_failure is not null && !failedBefore)
            throw ReadOnly(_failure);
    }

    private async ValueTask WriteRestAsync()
    {
        while (true)
        {
            // Null: the write is ours. Not the same as a task that has completed, which another writer's may do at any moment.
            Task? running = null;
            lock (_gate)
            {
                if (_writing is not null)
                    running = _writing.WhenDurable();
                else if (_filling.Length == 0 || _failure is not null)
                    return;
                else
                    SwapNeedsLock();
            }

            if (running is null)
                WriteBatch();
            else
                await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // Its failure is in _failure.
        }
    }

    private void SwapNeedsLock()
    {
        _writing = _filling;
        _filling = _idle!;
        _idle = null;
    }

    /// <summary>Writes the batch that the caller swapped out, tells those who wait, and sees to it that a batch with waiters is written next.</summary>
    private void WriteBatch()
    {
        var batch = _writing!;
        var failure = TryWrite(batch);

        TaskCompletionSource? written, gathered = null;
        bool writeNext;
        lock (_gate)
        {
            if (failure is null)
            {
                _length += batch.Length;
                Volatile.Write(ref _durableLsn, batch.LastLsn);
                if (_policy == SyncPolicy.Always)
                    Volatile.Write(ref _syncedLsn, batch.LastLsn);
                SetSyncTimerNeedsLock();
            }

            written = batch.Clear();
            _writing = null;
            _idle = batch;
            _failure ??= failure;
            if (_failure is not null)
                gathered = _filling.Clear();

            // This caller has what it came for. Those who came meanwhile are written by the thread pool, not at this caller's expense.
            writeNext = _filling.HasWaiters;
            if (writeNext)
                SwapNeedsLock();
        }

        if (writeNext)
            ThreadPool.UnsafeQueueUserWorkItem(static journal => journal.WriteBatch(), this, preferLocal: false);
        if (failure is null)
            written?.SetResult();
        else
            written?.SetException(ReadOnly(failure));
        gathered?.SetException(ReadOnly(_failure!));
    }

    private Exception? TryWrite(JournalBatch batch)
    {
        try
        {
            _file.Write(batch.Bytes, _length);
            if (_policy == SyncPolicy.Always)
                _file.SyncData();
            return null;
        }
        catch (Exception exception)
        {
            JournalLog.Latched(_logger, _path, exception.Message, exception);
            CutOffFailedWrite();
            return exception;
        }
    }

    /// <summary>
    /// A full disk leaves the first part of the batch behind. Its callers are told that it failed, so it should not come back at the next start.
    /// </summary>
    private void CutOffFailedWrite()
    {
        try
        {
            _file.SetLength(_length);
        }
        catch (IOException exception)
        {
            JournalLog.TruncateFailed(_logger, _path, _length, exception);
        }
    }

    private void CheckAppendNeedsLock(int recordBytes)
    {
        if (_failure is not null)
            throw ReadOnly(_failure);
        if (_closed)
            throw Closed();
        if (recordBytes > JournalFormat.MaxRecordBytes)
            throw new StreamException(
                StreamErrorCode.LimitExceeded,
                $"One call may change at most {JournalFormat.MaxRecordBytes} bytes on the embedded store; this one has {recordBytes}. Split it.");
        if (_filling.Length + JournalFormat.RecordHeaderBytes + recordBytes > MaxBatchBytes)
            throw new StreamException(
                StreamErrorCode.Busy, $"More than {MaxBatchBytes} bytes wait for the disk of '{_path}'. It does not keep up; send again later.");
    }

    private StreamException ReadOnly(Exception cause) => new(
        StreamErrorCode.ReadOnly,
        $"The journal '{_path}' takes no more writes since one failed: {cause.Message} Restart the process when the cause is gone.",
        cause);

    private StreamException Closed() => new(StreamErrorCode.Closed, $"The journal '{_path}' is closed.");
}
