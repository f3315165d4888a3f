using System.Diagnostics;
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
/// there is at most one write at a time, and concurrent callers share it, its checksums and its sync.</para>
/// <para>A failed sync latches the journal: what the operating system has kept is unknown from there on, so nothing is retried, and every later
/// append fails with <see cref="StreamErrorCode.ReadOnly"/> until a restart recovers what is there. So does a failed write, unless the device is
/// full: then what was to be written is kept and written when there is room again (<c>StreamJournal.Failures.cs</c>).</para>
/// <para>Memory: a batch grows to what its callers append during one write. The store keeps that near <see cref="FullBatchBytes"/> by awaiting
/// <see cref="WhenRoomAsync"/> before it takes its lock; <see cref="MaxBatchBytes"/> is the hard bound. Nothing is allocated per record.</para>
/// </remarks>
internal sealed partial class StreamJournal : IAsyncDisposable
{
    /// <summary>Back-pressure begins here: 64 MiB, far above what gathers during one write of a device that keeps up.</summary>
    public const int FullBatchBytes = 64 * 1024 * 1024;

    /// <summary>No batch grows above this: 256 MiB. Reached only by callers that do not wait for room.</summary>
    public const int MaxBatchBytes = 256 * 1024 * 1024;

    private readonly JournalOptions _options;
    private readonly SyncPolicy _policy;
    private readonly IStorageDevice _device;
    private readonly ILogger _logger;

    /// <summary>Set while there are unsynced bytes, under <see cref="SyncPolicy.EverySecond"/>.</summary>
    private readonly ITimer _syncTimer;

    /// <summary>Set while the device is full.</summary>
    private readonly ITimer _probeTimer;

    /// <summary>Guards every field below. Never held during IO.</summary>
    private readonly Lock _gate = new();

    /// <summary>Takes the records that are appended now.</summary>
    private JournalBatch _filling;

    /// <summary>The other batch while nobody writes; <see langword="null"/> while it is being written.</summary>
    private JournalBatch? _idle;

    /// <summary>The batch being written; its writer alone touches its frames.</summary>
    private JournalBatch? _writing;

    /// <summary>The LSN of the last record appended.</summary>
    private long _appendedLsn;

    /// <summary>The LSN of the last record written.</summary>
    private long _writtenLsn;

    /// <summary>The LSN up to which records are as durable as the policy promises. Read without the lock, too: it only grows.</summary>
    private long _durableLsn;

    /// <summary>The LSN up to which records are known to be on the device. Read without the lock, too: it only grows.</summary>
    private long _syncedLsn;

    /// <summary>The LSN up to which a mark in the journal says that all is synced.</summary>
    private long _markedLsn;

    private bool _closed;

    private StreamJournal(IStorageDevice device, JournalOptions options, TimeProvider time, ILogger logger, RecoveredJournal recovered)
    {
        _device = device;
        _options = options;
        _policy = options.Sync;
        _logger = logger;
        _filling = new(options.FrameBytes);
        _idle = new(options.FrameBytes);
        _segment = recovered.Segment;
        _segments = recovered.Segments;
        _appendedLsn = _writtenLsn = _durableLsn = _syncedLsn = recovered.LastLsn;
        _markedLsn = recovered.MarkedLsn;
        _bytesSinceSnapshot = recovered.BytesSinceSnapshot;
        SnapshotLsn = recovered.SnapshotLsn;
        SnapshotBytes = recovered.SnapshotBytes;
        _syncTimer = CreateTimer(static state => ((StreamJournal)state!).SyncAside());
        _probeTimer = CreateTimer(static state => ((StreamJournal)state!).TryAgain());

        ITimer CreateTimer(TimerCallback callback) => time.CreateTimer(callback, this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Makes the journal when there is none, and replays snapshot and records.</summary>
    /// <param name="device">The locked directory. It is the journal's from now on, and closed also when this fails.</param>
    /// <param name="options">How durable, and sizes.</param>
    /// <param name="time">Runs the timers; they are set only while there are unsynced bytes, or the device is full.</param>
    /// <param name="logger">Told of the recovery, a torn tail, and failures.</param>
    /// <param name="replay">Takes what is there.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>; nothing was changed.</exception>
    /// <exception cref="IOException">The device failed.</exception>
    public static StreamJournal Open(IStorageDevice device, JournalOptions options, TimeProvider time, ILogger logger, IJournalReplay replay)
    {
        try
        {
            return new(device, options, time, logger, new JournalRecovery(device, time, logger).Run(replay));
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Completes when there is room for more records, or none will come; at once as long as less than <see cref="FullBatchBytes"/> wait. To be awaited
    /// before the store's lock is taken, never under it.
    /// </summary>
    public ValueTask WhenRoomAsync()
    {
        lock (_gate)
        {
            if (_filling.Length < FullBatchBytes || Failure is not null || _closed)
                return ValueTask.CompletedTask;
        }

        return WaitForRoomAsync(Volatile.Read(ref _appendedLsn));
    }

    private async ValueTask WaitForRoomAsync(long lsn)
    {
        try
        {
            await WhenDurableAsync(lsn).ConfigureAwait(false);
        }
        catch (StreamException)
        {
            // The records are others'. This caller has appended nothing that could be in doubt, and CheckAppend will tell it why it cannot.
        }
    }

    /// <summary>
    /// Throws when the journal takes no record now. To be called under the store's lock before the engine applies a mutation: what is checked
    /// can be appended then, also when the device fills up in between.
    /// </summary>
    /// <param name="recordBytes">Bytes of the record; an upper bound will do.</param>
    /// <exception cref="StreamException">
    /// <see cref="StreamErrorCode.ReadOnly"/>: a write or sync failed. <see cref="StreamErrorCode.LimitExceeded"/>: the record is too large.
    /// <see cref="StreamErrorCode.Busy"/>: the batch is. <see cref="StreamErrorCode.Closed"/>.
    /// </exception>
    public void CheckAppend(int recordBytes)
    {
        lock (_gate)
        {
            if (Failure is { } failure)
                throw ReadOnly(failure);
            CheckAppendNeedsLock(recordBytes);
        }
    }

    /// <summary>Copies a record into the batch being filled. No IO. The caller holds the store's lock, so that calls never overlap.</summary>
    /// <returns>The record's LSN.</returns>
    /// <exception cref="StreamException">As <see cref="CheckAppend"/>, but not because the device is full. Nothing was appended.</exception>
    public long Append(ReadOnlySpan<byte> record)
    {
        lock (_gate)
        {
            CheckAppendNeedsLock(record.Length);
            _filling.Add(_appendedLsn + 1, record);
            _bytesSinceSnapshot += record.Length;
            return ++_appendedLsn;
        }
    }

    /// <summary>The LSN of the last record appended; after opening, of the last one recovered.</summary>
    public long LastLsn => Volatile.Read(ref _appendedLsn);

    /// <summary>Whether the record is as durable as the policy promises.</summary>
    public bool IsDurable(long lsn) => Volatile.Read(ref _durableLsn) >= lsn;

    /// <summary>
    /// Completes when the record is as durable as the policy promises. Already so: at once. Nobody writes: this caller does, before the call
    /// returns. Otherwise: with the write that takes the record, on the thread pool.
    /// </summary>
    /// <param name="lsn">The record; zero stands for none.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.OutcomeUnknown"/>: the write failed, or an earlier one did.</exception>
    public ValueTask WhenDurableAsync(long lsn) => WaitFor(lsn, true)?.Completion ?? ValueTask.CompletedTask;

    /// <summary>The same with an answer for the caller.</summary>
    public ValueTask<TResult> WhenDurableAsync<TResult>(long lsn, TResult result) => WaitFor(lsn, result)?.Result ?? new(result);

    /// <returns>Null: the record is durable.</returns>
    private BatchWaiter<TResult>? WaitFor<TResult>(long lsn, TResult result)
    {
        if (IsDurable(lsn))
            return null;

        lock (_gate)
        {
            if (_durableLsn >= lsn)
                return null;
            if (_full is not null)
                throw InDoubt(Failure!);
            if (_writing is not null)
                return (lsn <= _writing.LastLsn ? _writing : _filling).Wait(result);
            if (_failure is not null)
                throw InDoubt(_failure);

            // What was appended is written also while the journal closes, by this caller or the one that closes it.
            Debug.Assert(lsn <= _filling.LastLsn, "What is neither written nor being written waits to be.");
            if (MayGatherNeedsLock())
                return _filling.Wait(result);
            SwapNeedsLock();
        }

        var failure = WriteBatch(isForCaller: true);
        return failure is null || IsDurable(lsn) ? null : throw InDoubt(failure);
    }

    /// <summary>Writes and syncs what was appended, whatever the policy, marks that, and lets go of the directory.</summary>
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
        await _probeTimer.DisposeAsync().ConfigureAwait(false);
        await WriteRestAsync().ConfigureAwait(false);
        SyncWrittenBytes();
        MarkClose();
        CloseFiles();
        _device.Dispose();
        if (Failure is { } failure && !failedBefore)
            throw ReadOnly(failure);
    }

    /// <summary>Lets go of the directory and writes nothing: what was recovered turned out wrong.</summary>
    public void Abandon()
    {
        lock (_gate)
            _closed = true;
        _syncTimer.Dispose();
        _probeTimer.Dispose();
        CloseFiles();
        _device.Dispose();
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
        if (_filling.Length + recordBytes > MaxBatchBytes)
            throw new StreamException(
                StreamErrorCode.Busy, $"More than {MaxBatchBytes} bytes wait for the disk of '{_device.Path}'. It does not keep up; send again later.");
    }

    private StreamException Closed() => new(StreamErrorCode.Closed, $"The journal in '{_device.Path}' is closed.");
}
