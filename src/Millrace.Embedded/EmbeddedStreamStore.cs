using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Embedded;

/// <summary>
/// Redis Streams inside the process: no server, the same semantics. In memory, or durable in a data directory.
/// </summary>
/// <remarks>
/// <para>One lock, one order: a call takes the lock, applies its mutation to the engine, appends the record to the journal's buffer and
/// leaves. Outside the lock it waits until the journal is durable, so concurrent callers share one write. Without a data directory nothing
/// waits and every call but a blocked read completes at once.</para>
/// <para>Nothing polls: a blocked read is woken by the write it waits for, and one timer is set to the next schedule, expiry or claim.</para>
/// <para>When the disk fails the store takes no more writes (<see cref="StreamErrorCode.ReadOnly"/>) until the process is restarted, and
/// refuses reads as well if they would show what did not become durable. When the disk is full, only until there is room (<see cref="Health"/>).
/// What was being written then is in doubt (<see cref="StreamErrorCode.OutcomeUnknown"/>): it takes effect as a whole or not at all, when there is room
/// or the process was restarted.</para>
/// </remarks>
public sealed partial class EmbeddedStreamStore : IStreamStore
{
    /// <summary>The longest wait that a timer can measure.</summary>
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(45);

    /// <summary>Opens and locks the data directory; <see langword="null"/>: everything stays in memory.</summary>
    private readonly Func<IStorageDevice>? _openDevice;

    private readonly SyncPolicy _sync;
    private readonly JournalOptions _journalOptions;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly StoreClock _clock;

    /// <summary>Set to the next schedule, expiry or claim, and only when there is one.</summary>
    private readonly ITimer _dueTimer;

    /// <summary>Guards every field below, the engine and the blocked reads. Never held during IO or a wait.</summary>
    private readonly Lock _lock = new();

    private readonly BlockedReads _blocked = new();

    /// <summary>What was applied and is not yet in the journal: the record being written, or those of a transaction.</summary>
    private readonly GroupRecord _records = new();

    private bool _isTransaction;

    /// <summary>Replaced once, by recovery.</summary>
    private StreamEngine _engine = new();

    /// <summary>Null for a store in memory, and until recovery is done.</summary>
    private StreamJournal? _journal;

    /// <summary>
    /// The LSN of the last record. A reply waits for this one, not for the last record of the streams it shows: that is never too early,
    /// and seldom later, because all records in the buffer are written together anyway.
    /// </summary>
    private long _lastLsn;

    /// <summary>The moment the timer is set to, in Unix milliseconds.</summary>
    private long _timerDueMs = long.MaxValue;

    private Task? _opening;

    /// <summary>Recovery is done. Also read outside the lock: it is set once.</summary>
    private volatile bool _isOpen;

    private bool _isClosed;

    /// <summary>Makes the store; <see cref="OpenAsync"/>, or the first call, opens it.</summary>
    /// <param name="options">Where it keeps its data.</param>
    /// <param name="timeProvider">The store's clock and timers. Default: the system's.</param>
    /// <param name="logger">Told about recovery and about a failing disk. Default: nobody.</param>
    /// <exception cref="ArgumentException">The directory is empty text, or a limit is out of its bounds.</exception>
    public EmbeddedStreamStore(
        EmbeddedStoreOptions options, TimeProvider? timeProvider = null, ILogger<EmbeddedStreamStore>? logger = null)
        : this(options, timeProvider, logger, openDevice: null)
    {
    }

    /// <summary>The same on a device of the caller's, which gets its directory for messages only.</summary>
    internal EmbeddedStreamStore(EmbeddedStoreOptions options, TimeProvider? timeProvider, ILogger? logger, Func<IStorageDevice>? openDevice)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Directory is { } directory)
        {
            ArgumentException.ThrowIfNullOrWhiteSpace(directory);
            openDevice ??= () => DiskDevice.Open(directory);
        }

        _openDevice = openDevice;
        ArgumentOutOfRangeException.ThrowIfNegative(options.MaxMemoryBytes, "options.MaxMemoryBytes");
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(options.MaxWaitWhenFull, TimeSpan.Zero, "options.MaxWaitWhenFull");
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.MaxWaitWhenFull, LongestTimer, "options.MaxWaitWhenFull");
        (MaxMemoryBytesNeedsLock, _whenFull, _maxWaitWhenFull) = (options.MaxMemoryBytes, options.WhenFull, options.MaxWaitWhenFull);
        _sync = options.Sync;
        _journalOptions = options.Journal with { Sync = options.Sync };
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.SnapshotAfterBytes, "options.SnapshotAfterBytes");
        _snapshotAfterBytes = options.SnapshotAfterBytes;
        _time = timeProvider ?? TimeProvider.System;
        _clock = new(_time);
        _logger = logger ?? NullLogger<EmbeddedStreamStore>.Instance;
        _dueTimer = _time.CreateTimer(
            static store => ((EmbeddedStreamStore)store!).OnDue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _isOpen = _openDevice is null;
    }

    /// <inheritdoc/>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Locked"/>: another process holds the data directory.
    /// <see cref="StreamErrorCode.Corrupt"/>: the journal is damaged; the message names file and offset.
    /// <see cref="StreamErrorCode.Unavailable"/>: the directory cannot be made, read or written.</exception>
    public ValueTask OpenAsync(CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (_isClosed)
                return ValueTask.FromException(Closed());
            if (_isOpen)
                return ValueTask.CompletedTask;

            // A failed attempt, such as a directory that was locked, may be repeated.
            if (_opening is null or { IsFaulted: true })
                _opening = Task.Run(Recover, CancellationToken.None);
            return new(_opening.WaitAsync(cancellationToken));
        }
    }

    /// <summary>Whether the store takes writes, for a health check. No IO.</summary>
    public StoreHealth Health
    {
        get
        {
            if (_journal?.Failure is { } failure)
                return new(failure is StorageFullException ? StoreState.DiskFull : StoreState.DiskFailed, failure.Message);
            lock (_lock)
                return !IsFullNeedsLock ? new(StoreState.Writable, null)
                    : new(LetsWaitNeedsLock ? StoreState.PublishersWait : StoreState.MemoryFull, OutOfMemoryNeedsLock().Message);
        }
    }

    /// <summary>Ends every wait with <see cref="StreamErrorCode.Closed"/>, writes what is left and lets go of the directory.</summary>
    public async ValueTask DisposeAsync()
    {
        Task? opening;
        lock (_lock)
        {
            if (_isClosed)
                return;
            _isClosed = true;
            opening = _opening;
            _blocked.FailAll(Closed());
            FailWritesNeedsLock(Closed());
        }

        await _dueTimer.DisposeAsync().ConfigureAwait(false);
        if (opening is not null)
            await opening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // Who opened the store was told.
        await EndSnapshotAsync().ConfigureAwait(false);
        if (_journal is not null)
            await _journal.DisposeAsync().ConfigureAwait(false);
    }

    private void Recover()
    {
        Preload.Run();
        var replay = new EngineReplay();
        var journal = OpenJournal(replay);
        var engine = replay.Engine;
        Verify(engine, journal);
        lock (_lock)
        {
            _engine = engine;
            _journal = journal;
            _lastLsn = journal.LastLsn;
            SetSnapshotDueNeedsLock(journal);
            _isOpen = true;
            _clock.StartFrom(engine.NewestMs);
            SetTimerNeedsLock(_clock.ReadMs());
        }
    }

    /// <summary>An engine that is wrong must not hold the directory: a repaired copy may take its place.</summary>
    private static void Verify(StreamEngine engine, StreamJournal journal)
    {
        try
        {
            engine.Verify();
        }
        catch
        {
            journal.Abandon();
            throw;
        }
    }

    private StreamJournal OpenJournal(EngineReplay replay)
    {
        try
        {
            return StreamJournal.Open(_openDevice!(), _journalOptions, _time, _logger, replay);
        }
        catch (IOException exception)
        {
            throw new StreamException(StreamErrorCode.Unavailable, $"The data directory cannot be opened: {exception.Message}", exception);
        }
    }

    /// <summary>Applies one mutation and answers when it is durable.</summary>
    private ValueTask<TResult> ApplyAsync<TMutation, TResult>(TMutation mutation, CancellationToken cancellationToken)
        where TMutation : struct, IMutation<TResult>
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<TResult>(cancellationToken);
        return IsReady ? Apply<TMutation, TResult>(mutation, cancellationToken) : ApplySlowAsync<TMutation, TResult>(mutation, cancellationToken);
    }

    private async ValueTask<TResult> ApplySlowAsync<TMutation, TResult>(TMutation mutation, CancellationToken cancellationToken)
        where TMutation : struct, IMutation<TResult>
    {
        await WhenReadyAsync(cancellationToken).ConfigureAwait(false);
        return await Apply<TMutation, TResult>(mutation, cancellationToken).ConfigureAwait(false);
    }

    private ValueTask<TResult> Apply<TMutation, TResult>(TMutation mutation, CancellationToken cancellationToken)
        where TMutation : struct, IMutation<TResult>
    {
        try
        {
            TResult result = default!;
            WaitingWrite<TResult>? waiting = null;
            long lsn;
            lock (_lock)
            {
                var nowMs = EnterNeedsLock();
                try
                {
                    if (MustWaitNeedsLock(mutation))
                        waiting = WaitNeedsLock<TMutation, TResult>(mutation);
                    else
                        result = ApplyNeedsLock<TMutation, TResult>(mutation, nowMs);
                }
                finally
                {
                    lsn = LeaveNeedsLock(nowMs);
                }
            }

            return waiting is null ? WhenDurableAsync(lsn, result) : WaitAsync(waiting, cancellationToken);
        }
        catch (StreamException e)
        {
            return ValueTask.FromException<TResult>(e);
        }
    }

    /// <summary>Asks the engine, and answers when everything the answer shows is durable.</summary>
    private ValueTask<TResult> QueryAsync<TArguments, TResult>(
        TArguments arguments, Func<StreamEngine, TArguments, long, TResult> query, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<TResult>(cancellationToken);
        return _isOpen ? Query(arguments, query) : QuerySlowAsync(arguments, query, cancellationToken);
    }

    private async ValueTask<TResult> QuerySlowAsync<TArguments, TResult>(
        TArguments arguments, Func<StreamEngine, TArguments, long, TResult> query, CancellationToken cancellationToken)
    {
        await OpenAsync(cancellationToken).ConfigureAwait(false);
        return await Query(arguments, query).ConfigureAwait(false);
    }

    private ValueTask<TResult> Query<TArguments, TResult>(TArguments arguments, Func<StreamEngine, TArguments, long, TResult> query)
    {
        try
        {
            TResult result;
            long lsn;
            lock (_lock)
            {
                var nowMs = EnterNeedsLock();
                try
                {
                    ThrowIfUnshowableNeedsLock();
                    result = query(_engine, arguments, nowMs);
                }
                finally
                {
                    lsn = LeaveNeedsLock(nowMs);
                }
            }

            return WhenDurableAsync(lsn, result);
        }
        catch (StreamException e)
        {
            return ValueTask.FromException<TResult>(e);
        }
    }

    /// <summary>Every call begins here: the moment, and what time did by itself until then.</summary>
    private long EnterNeedsLock()
    {
        if (_isClosed)
            throw Closed();
        var nowMs = _clock.ReadMs();
        _engine.Select(0);
        if (_clock.SkippedMs > 0)
            SkipTimeNeedsLock(nowMs);
        TickNeedsLock(nowMs);
        WakeNeedsLock(nowMs);
        return nowMs;
    }

    /// <summary>Every call ends here: what it made due at once, the writes it made room for, the reads it woke, the timer.</summary>
    /// <returns>The LSN the reply must wait for.</returns>
    private long LeaveNeedsLock(long nowMs)
    {
        // Whoever began to wait did so in this turn; what changes from now on must tell, what it made due included.
        _engine.IsAwaited = !_blocked.IsEmpty;
        _engine.IsClaimAwaited = _blocked.HasClaims;
        try
        {
            TickNeedsLock(nowMs);
        }
        catch (StreamException e) when (e.Code is StreamErrorCode.ReadOnly or StreamErrorCode.Busy)
        {
            // The journal takes nothing since a moment ago. What the call did is as good as ever; what is due stays so for the next one, or the timer.
        }

        ServeWritesNeedsLock(nowMs);
        WakeNeedsLock(nowMs);
        SetTimerNeedsLock(nowMs);
        return _lastLsn;
    }

    /// <summary>Lets those try again who wait for what changed. A read that is served may signal again.</summary>
    private void WakeNeedsLock(long nowMs)
    {
        if (_engine.Signals.Count == 0)
            return;
        if (!_blocked.IsEmpty)
        {
            var database = _engine.Database;
            for (var i = 0; i < _engine.Signals.Count; i++)
            {
                _engine.Select(_engine.Signals[i].Database);
                _blocked.Wake(_engine.Signals[i], nowMs);
            }

            _engine.Select(database);
        }

        _engine.Signals.Clear();
    }

    /// <summary>
    /// Applies a mutation and journals it if it changed anything. It is written out first, so that the journal can refuse it before
    /// anything is changed.
    /// </summary>
    internal TResult ApplyNeedsLock<TMutation, TResult>(in TMutation mutation, long nowMs)
        where TMutation : struct, IMutation<TResult>
    {
        if (_journal is null)
        {
            _engine.Apply(mutation, nowMs, out TResult inMemory);
            return inMemory;
        }

        _records.Begin();
        try
        {
            MutationRecord.Write(_records, mutation, _engine.Database, nowMs);
            _journal.CheckAppend(_records.Length);
            if (!_engine.Apply(mutation, nowMs, out TResult result))
            {
                _records.Drop();
                return result;
            }

            _records.Keep();
            if (!_isTransaction)
                AppendNeedsLock(_journal);
            return result;
        }
        catch (Exception e)
        {
            // A refusal changed nothing. Anything else is a bug, or no memory, in the middle of a change that the journal does not have.
            _records.Drop();
            if (e is not StreamException)
                _journal.Latch(e);
            throw;
        }
    }

    /// <summary>What is applied until <see cref="EndTransactionNeedsLock"/> becomes one record: a crash leaves all of it or nothing.</summary>
    internal void BeginTransactionNeedsLock() => _isTransaction = true;

    internal void EndTransactionNeedsLock()
    {
        _isTransaction = false;
        if (_records.Count > 0)
            AppendNeedsLock(_journal!);
    }

    private void AppendNeedsLock(StreamJournal journal)
    {
        try
        {
            _lastLsn = journal.Append(_records.Written);
            Recorded?.Invoke(_records.Written);
        }
        catch
        {
            // The disk failed since the check. What is applied never becomes durable, and every reply that would show it fails. Set only
            // now: blocked reads look at the field without the lock.
            _lastLsn = long.MaxValue;
            throw;
        }
        finally
        {
            _records.Clear();
        }

        SaveIfDueNeedsLock(journal);
    }

    /// <summary>Nothing is shown that the journal lacks and takes no more. Who came before it failed is told so when it waits.</summary>
    private void ThrowIfUnshowableNeedsLock()
    {
        if (RefusalNeedsLock is { } refusal)
            throw refusal;
    }

    private ValueTask<TResult> WhenDurableAsync<TResult>(long lsn, TResult result) =>
        _journal is null ? new(result) : _journal.WhenDurableAsync(lsn, result);

    /// <summary>Whether a write can go on at once: recovery is done and the journal has room.</summary>
    private bool IsReady => _isOpen && (_journal is null || _journal.WhenRoomAsync().IsCompletedSuccessfully);

    private async ValueTask WhenReadyAsync(CancellationToken cancellationToken)
    {
        await OpenAsync(cancellationToken).ConfigureAwait(false);
        if (_journal is not null)
            await _journal.WhenRoomAsync().ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
    }

    private static StreamException Closed() => new(StreamErrorCode.Closed, "The embedded store was closed.");
}
