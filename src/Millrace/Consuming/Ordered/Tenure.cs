using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Recovery;
using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>
/// The time in which this process is the one reader of an ordered group. All that is in memory is of the tenure and ends with it; the next
/// one finds it in the store: what was left pending, the documents of parked keys, and what operators ask for.
/// </summary>
internal sealed partial class Tenure
{
    // Pending entries, notes and documents asked for in one go.
    private const int PageSize = 500;

    private static readonly TimeSpan Block = TimeSpan.FromSeconds(30);

    private readonly IStreamStore _store;
    private readonly GroupPlan _plan;
    private readonly ReaderLease _lease;
    private readonly OrderNames _names;
    private readonly OrderKeys _keys;
    private readonly HeldDeliveries _held;
    private readonly ReadGate _gate;
    private readonly RecoveryLedger _ledger;
    private readonly GroupReader _reader;
    private readonly Settlement _settlement;
    private readonly Func<Delivery, Task> _handle;
    private readonly WorkerStatus _status;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly LogLimit _fullTold;
    private readonly LogLimit _turnFailures;
    private readonly KeyQueue _queue;
    private readonly CancellationTokenSource _over = new();

    // By stream: no entry up to it can be delivered any more, and those that are pending are known.
    private readonly Dictionary<string, EntryId> _readThrough = [];

    // When a read last ended without its answer: what it was given is ours, and nobody here knows of it. One of an earlier tenure may have, when this began.
    private long? _answerLostAt;
    private EntryId _lastNote;
    private int _isLost;

    public Tenure(OrderedParts parts, ReaderLease lease, CommitCondition.State fence)
    {
        (_store, _plan, _held, _ledger) = (parts.Store, parts.Plan, parts.Held, parts.Ledger);
        (_reader, _settlement) = (parts.Reader, parts.Settlement);
        (_handle, _gate, _status, _time, _logger) = (parts.Handle, parts.Gate, parts.Status, parts.Time, parts.Logger);
        (_keys, _names, _lease, Fence) = (parts.Plan.OrderKeys!, parts.Plan.OrderNames!, lease, fence);
        (_fullTold, _turnFailures) = (new(_time), new(_time));
        _queue = new(parts.Plan.Options, parts.Reader.Ahead);
        _answerLostAt = _time.GetTimestamp();
        Over = _over.Token;
    }

    /// <summary>A condition of every commit: this process still reads the group.</summary>
    public CommitCondition.State Fence { get; }

    /// <summary>Cancelled when the tenure is over.</summary>
    public CancellationToken Over { get; }

    public bool IsLost => Volatile.Read(ref _isLost) == 1;

    /// <summary>Ends when no handler runs any more, once the tenure is closed.</summary>
    public Task Ended => _queue.Ended;

    /// <summary>See <see cref="KeyQueue.CountParked"/>.</summary>
    public (int Entries, bool IsFull) Parked => _queue.CountParked(_time.GetTimestamp());

    /// <summary>Finds what is there, then reads until the token is cancelled or the tenure is over.</summary>
    public async Task RunAsync(Func<Exception, int, CancellationToken, Task> waitAfterFailure, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, Over);
        await LoadAsync(either.Token).ConfigureAwait(false);
        Start();
        await Task.WhenAll(ReadAsync(waitAfterFailure, either.Token), ListenAsync(either.Token)).ConfigureAwait(false);
    }

    /// <summary>No handler starts any more.</summary>
    public void Close()
    {
        _over.Cancel();
        _queue.Close();
    }

    /// <summary>Somebody else may read now: what runs is cancelled, and nothing of it can be written.</summary>
    public void Lose()
    {
        if (Interlocked.Exchange(ref _isLost, 1) == 1)
            return;
        LogMessages.ReaderLeaseLost(_logger, _plan.Stream, _plan.Group);
        Close();
        foreach (var delivery in _held.Snapshot())
        {
            if (delivery.Tenure == this && delivery.Lose())
                _held.Remove(delivery);
        }
    }

    /// <summary>What settling the head of a key takes away besides the entry.</summary>
    public List<CommitChange> UnparkChanges(Turn turn)
    {
        List<CommitChange> changes = [];
        if (turn.Parked is { } parked)
            changes.Add(new CommitChange.DeleteState(_names.Parked(parked.Key)));
        if (turn.ParkedNote is { } note)
            changes.Add(new CommitChange.Delete(_names.Log, note));
        if (turn.Asked is { } asked)
            changes.Add(new CommitChange.Delete(_names.Log, asked.Id));
        if (turn.AskedBefore is { } before)
            changes.Add(new CommitChange.Delete(_names.Log, before.Id));
        return changes;
    }

    /// <summary>What parking the head of a key writes: its document, and the first time a note of it.</summary>
    public List<CommitChange> ParkChanges(Turn turn, ParkedHead parked)
    {
        List<CommitChange> changes = [new CommitChange.PutState(_names.Parked(parked.Key), parked.Write())];
        if (turn.Parked is null)
            changes.Add(new CommitChange.Append(_names.Log, OrderNote.Parked(parked.Key)));
        return changes;
    }

    private async Task ReadAsync(Func<Exception, int, CancellationToken, Task> waitAfterFailure, CancellationToken cancellationToken)
    {
        var failures = 0;
        while (true)
        {
            var room = await _queue.WaitForRoomAsync(TellFull, cancellationToken).ConfigureAwait(false);
            await _gate.WhenOpenAsync(cancellationToken).ConfigureAwait(false);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(_gate.Reading, cancellationToken);
            var reading = either.Token;
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                if (failures > 0)
                    await AddAsync([], cancellationToken).ConfigureAwait(false);
                _status.Answered();
                var batches = await _reader.ReadForQueueAsync(room, reading).ConfigureAwait(false);
                await AddAsync(batches, cancellationToken).ConfigureAwait(false);
                failures = 0;
                _status.Read();
            }
            catch (OperationCanceledException) when (reading.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                // The gate was closed before anything came; or something did, and was lost on a line that is dead.
                (_answerLostAt, failures) = (_time.GetTimestamp(), Math.Max(1, failures));
            }
            catch (StreamException exception) when (exception.Code == StreamErrorCode.NoGroup && !cancellationToken.IsCancellationRequested)
            {
                // With it went what was pending: the next tenure makes it again, and finds or reads everything anew.
                Lose();
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                _answerLostAt = _time.GetTimestamp();
                await waitAfterFailure(exception, ++failures, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Waits for what operators ask for, also while reading rests because a limit is reached.</summary>
    private async Task ListenAsync(CancellationToken cancellationToken)
    {
        for (var failures = 0; ;)
        {
            try
            {
                var batches = await _store.ReadAsync([new(_names.Log, _lastNote)], PageSize, Block, cancellationToken).ConfigureAwait(false);
                failures = 0;
                foreach (var entry in batches.SelectMany(batch => batch.Entries))
                {
                    await AskAsync(OrderNote.Read(entry), cancellationToken).ConfigureAwait(false);
                    _lastNote = entry.Id;
                }
            }
            catch (Exception) when (!cancellationToken.IsCancellationRequested)
            {
                // The reader of the group meets the same store, and says so.
                await Backoff.WaitForStoreAsync(++failures, _time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>
    /// Queues what a read brought, and what strayed before it; also what is ours by a read whose answer was lost, be it of a process of this name
    /// that died. Such a read may still wait at the store, and be given entries, for as long as a read blocks, a lease at most; so it is looked
    /// for until after that.
    /// </summary>
    private async Task AddAsync(IReadOnlyList<StreamBatch<DeliveredEntry>> batches, CancellationToken cancellationToken)
    {
        var isLast = _answerLostAt is { } lostAt && _time.GetElapsedTime(lostAt) >= 2 * _plan.Options.Lease;
        foreach (var isAgain in new[] { true, false })
        {
            var stream = isAgain ? _plan.Again : _plan.Stream;
            var entries = batches.FirstOrDefault(batch => batch.Stream == stream)?.Entries ?? [];
            var queued = await FindStraysAsync(isAgain, entries, cancellationToken).ConfigureAwait(false);
            foreach (var entry in entries)
                queued.Add((_keys.Read(entry.Fields), new(isAgain, entry.Id, entry.DeliveryCount, IsOurs: true, entry.Fields)));
            if (queued.Count > entries.Count)
                queued.Sort(static (one, other) => one.Entry.Id.CompareTo(other.Entry.Id));
            foreach (var (key, entry) in queued)
                _queue.Add(key, entry);
            if (queued.Count > 0)
                _readThrough[stream] = queued[^1].Entry.Id;
        }

        if (isLast)
            _answerLostAt = null;
        Start();
    }

    private void TellFull(int parked, int waiting)
    {
        _status.Full();
        if (_fullTold.Allows())
            LogMessages.OrderLimitReached(_logger, _plan.Stream, _plan.Group, parked, waiting);
    }
}

/// <summary>What every tenure of a worker works with.</summary>
internal sealed record OrderedParts
{
    public required IStreamStore Store { get; init; }

    public required GroupPlan Plan { get; init; }

    public required HeldDeliveries Held { get; init; }

    public required ReadGate Gate { get; init; }

    public required RecoveryLedger Ledger { get; init; }

    public required GroupReader Reader { get; init; }

    public required Settlement Settlement { get; init; }

    /// <summary>Runs a delivery to its settlement.</summary>
    public required Func<Delivery, Task> Handle { get; init; }

    public required WorkerStatus Status { get; init; }

    public required TimeProvider Time { get; init; }

    public required ILogger Logger { get; init; }
}
