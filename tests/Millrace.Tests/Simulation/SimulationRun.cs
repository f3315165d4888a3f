using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Simulation;

/// <summary>
/// One seed: several lives of a store on one simulated disk, each ended by a close, a kill or a power cut, and after each restart the question
/// whether the store is in a state it may be in.
/// </summary>
/// <remarks>
/// Everything runs on one thread; where the store uses another, this one waits for it. So the seed says all, and a second run is the same run.
/// Other callers act from inside the operations of the device (<see cref="CallMeanwhile"/>): that is where a second thread would find the store.
/// </remarks>
internal sealed partial class SimulationRun : IMutationTarget
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly SimulationLimits _limits;
    private readonly FaultCounts _counts;
    private readonly SimulationPlan _plan;
    private readonly SimulatedDisk _disk = new();
    private readonly SimulatedTime _time = new();
    private readonly History _history = new();
    private readonly Promises _promises = new();
    private readonly Ledger _ledger = new();
    private readonly JournalOptions _journal;
    private readonly Trace _trace;

    private LifePlan _life = null!;
    private SimulatedDevice _device = null!;
    private EmbeddedStreamStore _store = null!;
    private Workload _workload = null!;

    /// <summary>Whether the machine ended since the store was last recovered: then everything there is now is on the device.</summary>
    private bool _wasPowerCut = true;

    /// <summary>The last life closed the store: damage to any record is recognised from now on.</summary>
    private bool _wasClosed;

    /// <summary>Recoveries in a row that were ended.</summary>
    private int _recoveryCrashes;

    public SimulationRun(int seed, SimulationLimits limits, FaultCounts counts, List<string>? lines = null)
    {
        _trace = new() { Lines = lines };
        _limits = limits;
        _counts = counts;
        _plan = new(seed, limits);
        _journal = new()
        {
            SegmentBytes = _plan.SegmentBytes,
            FrameBytes = _plan.FrameBytes,
            MinAheadFrameBytes = _plan.MinAheadFrameBytes,
            AheadBytes = _plan.AheadBytes,
            Background = _background.Push,
            Aside = static work => work(),
        };
        _time.Fired = () =>
        {
            if (!_isMeanwhile)
                Drain();
            return !_device.IsDead;
        };
    }

    public ulong TraceHash => _trace.Hash;

    /// <summary>Operations of the store that were tried, in all lives.</summary>
    public int Steps { get; private set; }

    public void Run()
    {
        for (var life = 0; life < _plan.Lives; life++)
            Live(_plan.NextLife(_limits, canFlip: life == _plan.Lives - 1 && life > 0));
    }

    private void Live(LifePlan life)
    {
        _life = life;
        _trace.Add($"process: {_plan.Sync}, {life.Operations} steps");
        var flips = FlipBits();
        if (TryStart(flips))
        {
            Work();
            End();
        }

        _store = null!;
        _time.ForgetTimers();
        if (!_device.IsDead)
            _device.Kill();
        Restart();
    }

    /// <summary>Starts a process and recovers the store. False: it ended on the way, or could not be opened.</summary>
    private bool TryStart(IReadOnlyList<(SimulatedInode File, long Bit)> flips)
    {
        var before = flips.Count > 0 ? _disk.Image() : null;
        StartProcess(_life);
        var failure = Open();
        if (_device.IsDead)
        {
            _counts.Add(new(FaultKind.CrashInRecovery, Operation.None, FileRole.Directory, Phase.Recovery));
            _counts.RecoveryCrashDepths[Math.Min(++_recoveryCrashes, 3)]++;
            return false;
        }

        _recoveryCrashes = 0;
        if (failure is null)
        {
            CheckRecovered(flips.Count);
            return true;
        }

        _trace.Add(failure.Code.ToString());
        if (flips.Count > 0 && failure.Code == StreamErrorCode.Corrupt)
        {
            _counts.See("damage refused");
            CheckRefused(before!, flips);
            return true;
        }

        if (!_device.HasFailed && !_device.HasBeenFull)
            throw new SimulationException($"The store cannot be opened although nothing failed: {failure}");
        if (failure.Code != StreamErrorCode.Unavailable)
            throw new SimulationException($"A failing device was taken for something else: {failure}");
        return false;
    }

    /// <summary>Damage was noticed. Nothing may have been changed; and with the damage undone, everything is there.</summary>
    private void CheckRefused(Dictionary<string, byte[]> before, IReadOnlyList<(SimulatedInode File, long Bit)> flips)
    {
        var after = _disk.Image();
        if (before.Count != after.Count || before.Any(file => !after.TryGetValue(file.Key, out var bytes) || !file.Value.AsSpan().SequenceEqual(bytes)))
            throw new SimulationException("The store refused a damaged directory and changed it.");
        foreach (var (file, bit) in flips)
            file.Flip(bit);
        _time.ForgetTimers();
        StartProcess(_life.WithoutFaults());
        if (Open() is { } failure)
            throw new SimulationException($"The damage is undone and the store still refuses: {failure}");
        CheckRecovered(flips: 0);
    }

    private void StartProcess(LifePlan life)
    {
        _device = new(_disk, life, life.Random, _counts, _trace) { JournalWritten = NoteWrite, JournalBreaks = NoteBreak, Meanwhile = CallMeanwhile };
        var options = new EmbeddedStoreOptions { Sync = _plan.Sync, SnapshotAfterBytes = _plan.SnapshotBytes, Journal = _journal };
        _store = new(options, _time, null, () => _device) { Recorded = _history.Add };
        _workload = new(life.WorkloadSeed, _store);
        _background.Clear();
        _waiting.Clear();
        (_brokenAt, _roomAgainMs) = (null, _time.ElapsedMs);
    }

    private StreamException? Open()
    {
        var failure = Try(() => _store.OpenAsync(), isElsewhere: true);
        _device.DriverPhase = Phase.Append;
        return failure;
    }

    private void CheckRecovered(int flips)
    {
        var lsn = _store.LastLsnNeedsLock;
        var floor = _promises.Floor(_wasPowerCut, _plan.Sync, _time.ElapsedMs);
        if (flips > 0)
            floor = flips > 1 ? 0 : _wasClosed ? _history.LastLsn : MarkedFloor(floor);
        _trace.Add($"  recovered {lsn} of {_history.LastLsn}, promised {floor}");
        if (lsn < floor)
            throw new SimulationException(
                $"Recovered up to record {lsn}, but everything up to {floor} was acknowledged and must survive a {(_wasPowerCut ? "power cut" : "kill")}.");
        if (lsn > _history.LastLsn)
            throw new SimulationException($"Recovered up to record {lsn}, but only {_history.LastLsn} were ever written.");
        if (lsn < _history.LastLsn)
            _history.CutAfter(lsn);
        CompareStates("after recovery");
        _ledger.Check(lsn, _store.EngineNeedsLock);
        _marks.Clear();
        _promises.Recover(lsn, _wasPowerCut, _plan.Sync, _time.ElapsedMs);
        _wasPowerCut = false;
    }

    private void CompareStates(string when)
    {
        _store.EngineNeedsLock.Verify();
        var (expected, actual) = (StateText.Of(_history.Replay()), StateText.Of(_store.EngineNeedsLock));
        _trace.AddSilently(actual);
        if (expected != actual)
            throw new SimulationException($"The state {when}, at record {_history.LastLsn}, is wrong.\n{Difference(expected, actual)}");
    }

    private void Work()
    {
        for (var step = 0; step < _life.Operations && !_device.IsDead; step++)
        {
            Steps++;
            Step();
            if (!_device.IsDead && _disk.IsSynced)
                _promises.Sync(_promises.Written);
        }
    }

    private void End()
    {
        _wasClosed = false;
        if (_device.IsDead || !_life.Closes)
            return;
        CompareStates("before the store is closed");
        _device.DriverPhase = Phase.Close;
        var failure = Try(() => _store.DisposeAsync());
        if (_device.IsDead)
            return;
        if (failure is null && _brokenAt is null && !_device.HasFailed)
        {
            _promises.Sync(_history.LastLsn);
            _wasClosed = !_device.IsFull;
        }
        else if (failure is not null)
        {
            ExpectFailure(failure);
        }
    }

    private void Restart()
    {
        var phase = _device.DriverPhase;
        _wasPowerCut |= _life.EndsByPowerCut;
        _trace.Add(_life.EndsByPowerCut ? $"power cut, phase {phase}" : _wasClosed ? "closed" : $"killed, phase {phase}");
        if (_life.EndsByPowerCut)
        {
            _counts.Add(new(FaultKind.PowerCut, Operation.None, FileRole.Directory, phase));
            _disk.CutPower(_life.Random, (kind, role) => _counts.Add(new(kind, Operation.None, role, phase)));
        }
        else
        {
            if (!_wasClosed)
                _counts.Add(new(FaultKind.ProcessKill, Operation.None, FileRole.Directory, phase));
            _disk.Kill(_life.Random, _plan.Has(FaultKind.DroppedPage), (kind, role) => _counts.Add(new(kind, Operation.None, role, phase)));
        }
    }

    private IReadOnlyList<(SimulatedInode File, long Bit)> FlipBits()
    {
        var flips = new List<(SimulatedInode, long)>();
        for (var left = _life.Flips; left > 0; left--)
        {
            var files = _disk.Files.Where(file => file.Value.Length > 0 && file.Value.IsSynced).ToArray();
            if (files.Length == 0)
                break;
            var (name, file) = files[_life.Random.Next(files.Length)];
            var bit = _life.Random.NextInt64(8L * file.Length);
            file.Flip(bit);
            flips.Add((file, bit));
            _counts.Add(new(FaultKind.BitFlip, Operation.None, SimulatedDisk.RoleOf(name), Phase.Rest));
        }

        return flips;
    }

    /// <summary>
    /// What damage to one bit must not make disappear silently: what a mark in the journal calls synced. The last few writes may be the damaged one,
    /// or not have survived a power cut.
    /// </summary>
    private long MarkedFloor(long floor)
    {
        var marks = _marks.Where(mark => mark.Lsn <= floor).ToArray();
        return marks.Length < 4 ? 0 : marks[^4].Synced;
    }

    private static string Difference(string expected, string actual)
    {
        var (left, right) = (expected.Split('\n'), actual.Split('\n'));
        var at = 0;
        while (at < left.Length && at < right.Length && left[at] == right[at])
            at++;
        return $"line {at}\nexpected: {string.Join("\n          ", left.Skip(at).Take(6))}\nactual:   {string.Join("\n          ", right.Skip(at).Take(6))}";
    }
}

/// <summary>The store broke a promise.</summary>
internal sealed class SimulationException(string message) : Exception(message);
