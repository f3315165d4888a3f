using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Simulation;

/// <summary>What the callers of the store do, and what they are told.</summary>
internal sealed partial class SimulationRun
{
    /// <summary>A full device is tried again this often, in milliseconds.</summary>
    private const int ProbeMs = 1_000;

    private long _nowMs;

    /// <summary>A mutation of this turn was not applied because the journal takes none.</summary>
    private bool _isTurnRefused;

    /// <summary>
    /// What the store leaves to other threads. The last first: a snapshot waits for the write that began while it was asked for, and would go on on a
    /// thread of its own if it came first.
    /// </summary>
    private readonly Stack<Action> _background = new();

    /// <summary>Callers that came while a write was going on.</summary>
    private readonly List<(long Lsn, Task Task)> _waiting = [];

    private bool _isMeanwhile;

    /// <summary>Since when there is room, by the clock that does not jump.</summary>
    private long _roomAgainMs;

    /// <summary>For each write of the journal: the last record by then, and what the store knew to be synced.</summary>
    private readonly List<(long Lsn, long Synced)> _marks = [];

    /// <summary>Up to where records could be shown when the journal broke for good; null: it has not.</summary>
    private long? _brokenAt;

    private void Step()
    {
        var random = _workload.Random;
        switch (random.Next(100))
        {
            case < 72:
                var lsn = Turn(random.Next(3) == 0 ? random.Next(2, 8) : 1);
                if (random.Next(5) > 0)
                    Await(lsn, Show);
                break;
            case < 84:
                _time.Advance(random.Next(1, 1_600));
                break;
            case < 87:
                JumpClock(random);
                break;
            case < 91:
                SyncAll();
                break;
            case < 94:
                Save();
                break;
            case < 96:
                var stream = _workload.NextStream();
                Await(_history.LastLsn, () => new(_store.RangeAsync(stream, new()).AsTask()));
                break;
            default:
                MakeRoom();
                break;
        }
    }

    /// <summary>While the device is busy for one caller, another one calls.</summary>
    private void CallMeanwhile(Operation operation, FileRole role)
    {
        if (_isMeanwhile || _device.DriverPhase != Phase.Append || !_plan.HasOtherCallers || _workload.Random.Next(4) > 0)
            return;
        _isMeanwhile = true;
        var lsn = Turn(1);
        if (role is FileRole.NewSnapshot or FileRole.Snapshot && operation != Operation.Delete)
        {
            _counts.See("calls during a snapshot");
            Await(lsn, Show);
        }

        // Only while a batch is being written does a caller wait for somebody else; otherwise it would write in the middle of a sync.
        if (operation == Operation.Write && role == FileRole.Journal)
        {
            _counts.See("calls during a write");
            // It reads, which waits for the record it shows.
            var answer = _store.RangeAsync(Ledger.Stream, new()).AsTask();
            _waiting.Add((_history.LastLsn, answer));

            // A timer syncs what was written before, beside the write. Not beside one that ends a full device: who was refused then, was rightly.
            if (!_device.HasBeenFull && _workload.Random.Next(4) == 0)
            {
                if (_plan.Has(FaultKind.SyncError) && _workload.Random.Next(8) == 0)
                    _life.Errors.Add(_device.Operations + 1);
                _time.Advance(ProbeMs + 1);
            }
        }

        _isMeanwhile = false;
    }

    /// <summary>What the store does on other threads, and what callers wait for that it does there.</summary>
    private void Drain()
    {
        while (_background.TryPop(out var work))
            work();
        foreach (var (lsn, task) in _waiting.ToArray())
        {
            _waiting.Remove((lsn, task));
            Await(lsn, () => new(task));
        }
    }

    /// <summary>Somebody deletes files of somebody else. The store must notice within its second and go on.</summary>
    private void MakeRoom()
    {
        if (!_device.IsFull)
            return;
        _device.IsFull = false;
        _roomAgainMs = _time.ElapsedMs;
        _time.Advance(ProbeMs + 1);
        if (_device.IsDead || _device.HasFailed)
            return;
        Await(Turn(1), Show);
        if (_device.HasBeenFull)
            _counts.See("went on after the device was full");
    }

    private void JumpClock(Random random)
    {
        var isBack = random.Next(2) == 0;
        var kind = isBack ? FaultKind.ClockBack : FaultKind.ClockForward;
        if (!_plan.Has(kind))
            return;
        _counts.Add(new(kind, Operation.None, FileRole.Other, Phase.Rest));
        _time.Jump(TimeSpan.FromMilliseconds((isBack ? -1 : 1) * random.Next(1, 20_000)));
    }

    /// <summary>Applies a few mutations under one lock.</summary>
    /// <returns>The LSN that a reply must wait for.</returns>
    private long Turn(int mutations)
    {
        _isTurnRefused = false;
        if (Guard(() => _nowMs = _store.BeginTurn()) is { } refused)
        {
            ExpectFailure(refused);
            return _history.LastLsn;
        }

        try
        {
            for (; mutations > 0 && !_isTurnRefused; mutations--)
            {
                if (_workload.Random.Next(6) == 0)
                {
                    WriteLedger();
                    continue;
                }

                _store.EngineNeedsLock.Select(_workload.NextDatabase());
                _workload.Next(this);
            }

            if (Guard(() => _store.LeaveTurnNeedsLock(_nowMs)) is { } failure)
                ExpectFailure(failure);
        }
        finally
        {
            _store.ExitTurn();
        }

        CheckLsn();
        return _history.LastLsn;
    }

    private void CheckLsn()
    {
        var lsn = _store.LastLsnNeedsLock;
        if (lsn != _history.LastLsn && lsn != long.MaxValue)
            throw new SimulationException($"The store is at record {lsn}, but {_history.LastLsn} changes were made.");
    }

    private void WriteLedger()
    {
        _store.EngineNeedsLock.Select(Ledger.Database);
        var value = $"{_history.LastLsn}";
        switch (_workload.Random.Next(5))
        {
            case 0 when !_ledger.HasGroup:
                if (TryApply<CreateGroup, bool>(new(Ledger.Stream, Ledger.Group, GroupStart.Beginning), out _))
                    _ledger.GroupMade(_history.LastLsn);
                break;
            case 1 when _ledger.HasGroup:
                if (TryApply<ReadGroup, DeliveredRange>(new(Ledger.Stream, Ledger.Group, "c", 3), out var range))
                    _ledger.Delivered(_history.LastLsn, range);
                break;
            case 2 when _ledger.OldestPending is { } oldest:
                if (TryApply<Ack, long>(new(Ledger.Stream, Ledger.Group, [oldest]), out _))
                    _ledger.Acknowledged(_history.LastLsn, oldest);
                break;
            default:
                if (TryApply<Append, EntryId>(new(Ledger.Stream, Ledger.FieldsOf(value)), out var id))
                    _ledger.Appended(_history.LastLsn, id, value);
                break;
        }
    }

    void IMutationTarget.Apply<TMutation, TResult>(TMutation mutation) => TryApply<TMutation, TResult>(mutation, out _);

    /// <summary>False: the store refused it.</summary>
    private bool TryApply<TMutation, TResult>(TMutation mutation, out TResult result)
        where TMutation : struct, IMutation<TResult>
    {
        TResult applied = default!;
        var failure = Guard(() =>
        {
            applied = _store.ApplyNeedsLock<TMutation, TResult>(mutation, _nowMs);
            _store.EndCommandNeedsLock(_nowMs);
        });
        result = applied;
        if (failure?.Code is StreamErrorCode.ReadOnly or StreamErrorCode.Busy or StreamErrorCode.Closed)
        {
            _isTurnRefused = true;
            ExpectFailure(failure);
        }

        return failure is null;
    }

    /// <summary>
    /// A reply, which waits for the last record of this moment. A read, because it writes on its caller's thread under every policy, and changes nothing
    /// behind a turn.
    /// </summary>
    private ValueTask Show() => new(_store.RangeAsync(Ledger.Stream, new() { Count = 1 }).AsTask());

    /// <summary>Waits as a caller does, and holds the store to it when it says that the record is durable.</summary>
    private void Await(long lsn, Func<ValueTask> wait)
    {
        var failure = Try(wait);
        if (failure is not null)
            ExpectFailure(failure);
        else if (!_device.IsDead)
            Acknowledge(lsn);
        Drain();
    }

    private void Acknowledge(long lsn)
    {

        if (_brokenAt is { } brokenAt)
        {
            if (lsn > brokenAt)
                throw new SimulationException($"Record {lsn} was acknowledged after the journal broke at {brokenAt}.");
        }
        else
        {
            _trace.Add($"  {lsn} acknowledged at {_time.ElapsedMs} ms");
            _promises.Acknowledge(lsn, _plan.Sync, _time.ElapsedMs);
        }
    }

    private void NoteWrite()
    {
        // A start writes again what is there, and the history does not know yet how much that is.
        if (_device.DriverPhase != Phase.Recovery)
            _marks.Add((_history.LastLsn, _promises.Synced));
    }

    private void NoteBreak(FaultKind fault)
    {
        // Who could be told before, may learn of it later.
        var shown = _history.LastLsn;
        while (!_store.IsAcknowledged(shown))
            shown--;
        foreach (var (lsn, _) in _waiting.Where(waiting => waiting.Lsn <= shown))
            Acknowledge(lsn);
        _brokenAt ??= shown;
        if (fault == FaultKind.SyncError)
            _promises.FailSync(_plan.Sync, _time.ElapsedMs);
    }

    private void SyncAll()
    {
        var lsn = _history.LastLsn;
        var failure = Try(() => new(_store.SyncAsync(_store.LastLsnNeedsLock)), isElsewhere: true);
        if (failure is not null)
            ExpectFailure(failure);
        else if (_device.IsDead)
            return;
        else if (_brokenAt is not null)
            throw new SimulationException("A sync was reported done after the journal broke.");
        else
            _promises.Sync(lsn);
        _trace.Add($"  sync of {lsn}");
        Drain();
    }

    private void Save()
    {
        if (Locked(() => _store.IsSavingNeedsLock))
            return;
        var lsn = _history.LastLsn;
        var failure = Try(() => new(_store.SaveAsync()));
        _trace.Add($"  snapshot of {lsn}: {failure?.Code}");
        if (_device.IsDead)
            return;
        if (failure is null)
            _promises.Sync(lsn);
        else if (failure.Code is StreamErrorCode.ReadOnly or StreamErrorCode.OutcomeUnknown)
            ExpectFailure(failure);
        else if (failure.Code != StreamErrorCode.Unavailable || !(_device.HasSnapshotFailed || _device.HasFailed || _device.HasBeenFull))
            throw new SimulationException($"A snapshot failed although nothing else did: {failure}");
        Drain();
    }

    private bool Locked(Func<bool> question)
    {
        _store.EnterTurnBesidesTime();
        var answer = question();
        _store.ExitTurn();
        return answer;
    }

    /// <summary>Refusals need a cause.</summary>
    private void ExpectFailure(StreamException failure)
    {
        _trace.Add(failure.Code.ToString());
        if (_device.IsDead)
            return;
        var isFull = _device.HasBeenFull && (_device.IsFull || _time.ElapsedMs <= _roomAgainMs + ProbeMs);
        if (!_device.HasFailed && !isFull)
            throw new SimulationException($"The store refused although nothing failed, or no longer: {failure}");
        if (failure.Code is not (StreamErrorCode.ReadOnly or StreamErrorCode.OutcomeUnknown))
            throw new SimulationException($"A failing device must be reported as read-only, or leave what was appended in doubt: {failure}");
    }

    /// <summary>Waits for the store's answer on this thread, so that nothing happens meanwhile.</summary>
    /// <param name="call">The call.</param>
    /// <param name="isElsewhere">Whether the store does it on another thread, so that nothing else may happen on this one.</param>
    private StreamException? Try(Func<ValueTask> call, bool isElsewhere = false)
    {
        return Guard(() =>
        {
            var answer = call();
            while (!isElsewhere && !answer.IsCompleted && _background.TryPop(out var work))
                work();
            var task = answer.AsTask();
            if (!task.IsCompleted && Task.WaitAny([task], Deadline) < 0)
                throw new SimulationException("The store never answers.");
            task.GetAwaiter().GetResult();
        });
    }

    private static StreamException? Guard(Action call)
    {
        try
        {
            call();
            return null;
        }
        catch (StreamException exception)
        {
            return exception;
        }
    }
}
