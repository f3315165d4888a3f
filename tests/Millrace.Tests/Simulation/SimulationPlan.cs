using Millrace.Embedded;

namespace Millrace.Tests.Simulation;

/// <summary>What a run may be cut down to, to see what of it is needed for a failure.</summary>
internal sealed record SimulationLimits
{
    public int Lives { get; init; } = int.MaxValue;

    /// <summary>Operations of the workload in each life.</summary>
    public int Operations { get; init; } = int.MaxValue;

    /// <summary>Kinds of faults that are left out.</summary>
    public IReadOnlySet<FaultKind> Without { get; init; } = new HashSet<FaultKind>();

    public override string ToString() =>
        $"lives {(Lives == int.MaxValue ? "all" : Lives)}, operations in each {(Operations == int.MaxValue ? "all" : Operations)}" +
        $", faults {string.Join(", ", Enum.GetValues<FaultKind>().Where(kind => !Without.Contains(kind)))}";
}

/// <summary>What one seed says: the store's options and which faults there are. Each seed leaves out some kinds, so that the others are seen alone.</summary>
internal sealed class SimulationPlan
{
    private readonly HashSet<FaultKind> _kinds = [];
    private readonly Random _random;

    public SimulationPlan(int seed, SimulationLimits limits)
    {
        _random = new(seed);
        Lives = Math.Min(limits.Lives, _random.Next(2, 7));
        foreach (var kind in Enum.GetValues<FaultKind>())
        {
            if (_random.Next(3) > 0 && !limits.Without.Contains(kind))
                _kinds.Add(kind);
        }

        SegmentBytes = 512 << _random.Next(5);
        SnapshotBytes = _random.Next(4) == 0 ? long.MaxValue : SegmentBytes * _random.Next(1, 6) / 8; // A store that only grows waits for eight times this.
        Sync = (SyncPolicy)_random.Next(3);
        ChangesPolicy = _random.Next(4) == 0;
        FrameBytes = _random.Next(3) == 0 ? _random.Next(64, 512) : 1024 * 1024;
        HasOtherCallers = _random.Next(2) == 0;
        MinAheadFrameBytes = _random.Next(3) == 0 ? int.MaxValue : _random.Next(32, 512);
        AheadBytes = _random.Next(64, 2_048);
    }

    public int Lives { get; }

    /// <summary>Where the journal rolls: small, so that it does.</summary>
    public int SegmentBytes { get; }

    /// <summary>Bytes of journal between two snapshots.</summary>
    public long SnapshotBytes { get; }

    /// <summary>Bytes of a frame: small, so that a batch is several.</summary>
    public int FrameBytes { get; }

    /// <summary>Frames from here on have room made ahead of them, under Always: few, many or none.</summary>
    public int MinAheadFrameBytes { get; }

    /// <summary>That room: little, so that it is made often.</summary>
    public int AheadBytes { get; }

    public SyncPolicy Sync { get; private set; }

    /// <summary>Whether calls overlap.</summary>
    public bool HasOtherCallers { get; }

    private bool ChangesPolicy { get; }

    public bool Has(FaultKind kind) => _kinds.Contains(kind);

    /// <summary>The next life. Always draws the same numbers, whatever is left out.</summary>
    public LifePlan NextLife(SimulationLimits limits, bool canFlip)
    {
        if (ChangesPolicy)
            Sync = (SyncPolicy)_random.Next(3);
        var random = new Random(_random.Next());
        var operations = random.Next(6) == 0 ? 0 : random.Next(1, 60);
        var life = new LifePlan
        {
            Random = random,
            WorkloadSeed = random.Next(),
            Operations = Math.Min(operations, limits.Operations),
            Crash = DrawCrash(random),
            Errors = DrawErrors(random),
            LocksHeld = random.Next(12) == 0 && Has(FaultKind.LockLost) ? random.Next(4) : int.MaxValue,
            FullAt = random.Next(4) == 0 && Has(FaultKind.Full) ? random.Next(1, 80) : 0,
            SyncsUntilError = random.Next(4) == 0 && Has(FaultKind.SyncError) ? random.Next(20) : int.MaxValue,
            EvictsPages = Has(FaultKind.EvictedPage),
            Flips = random.Next(6) == 0 && canFlip && Has(FaultKind.BitFlip) ? random.Next(1, 3) : 0,
            EndsByPowerCut = random.Next(2) == 0 ? Has(FaultKind.PowerCut) : !Has(FaultKind.ProcessKill),
            Closes = random.Next(3) == 0,
        };

        // Damage is looked for by a start that nothing else disturbs.
        return life.Flips > 0 ? life.WithoutFaults(life.Flips) : life;
    }

    private (int At, FaultKind Kind) DrawCrash(Random random)
    {
        // Half of the ends come early, where the store recovers.
        var at = random.Next(4) switch
        {
            0 => random.Next(1, 12),
            1 => random.Next(1, 40),
            2 => random.Next(1, 200),
            _ => 0,
        };
        var kind = (FaultKind)random.Next((int)FaultKind.CrashBefore, (int)FaultKind.CrashAfter + 1);
        return Has(kind) ? (at, kind) : default;
    }

    private HashSet<int> DrawErrors(Random random)
    {
        var errors = new HashSet<int>();
        for (var left = random.Next(4) == 0 ? random.Next(1, 4) : 0; left > 0; left--)
            errors.Add(random.Next(1, random.Next(2) == 0 ? 15 : 150));
        errors.RemoveWhere(_ => !Has(FaultKind.OtherError));
        return errors;
    }
}

/// <summary>What strikes one process, by the number of its operation on the device.</summary>
internal sealed class LifePlan
{
    public required Random Random { get; init; }

    public required int WorkloadSeed { get; init; }

    /// <summary>Steps of the workload; zero: the process only recovers.</summary>
    public required int Operations { get; init; }

    public required (int At, FaultKind Kind) Crash { get; init; }

    public required HashSet<int> Errors { get; init; }

    /// <summary>How often the directory's lock is found held before another process has it.</summary>
    public required int LocksHeld { get; set; }

    /// <summary>From which operation on there is no room; zero: there is always.</summary>
    public required int FullAt { get; init; }

    /// <summary>How many syncs succeed before one fails.</summary>
    public int SyncsUntilError { get; set; } = int.MaxValue;

    /// <summary>Whether the page cache may let go of what a failed sync left in it, while the process runs.</summary>
    public bool EvictsPages { get; init; }

    /// <summary>Bits that changed on the device before the process starts.</summary>
    public required int Flips { get; init; }

    /// <summary>Whether the machine ends and not just the process.</summary>
    public required bool EndsByPowerCut { get; init; }

    /// <summary>Whether the store is closed when the process lives to the end.</summary>
    public required bool Closes { get; init; }

    /// <summary>The same life on a device that does as it is told.</summary>
    public LifePlan WithoutFaults(int flips = 0) => new()
    {
        Random = Random,
        WorkloadSeed = WorkloadSeed,
        Operations = Operations,
        Crash = default,
        Errors = [],
        LocksHeld = int.MaxValue,
        FullAt = 0,
        Flips = flips,
        EndsByPowerCut = EndsByPowerCut,
        Closes = Closes,
    };

    public FaultKind? Next(int number, Operation operation)
    {
        if (number == Crash.At)
            return Crash.Kind;
        if (number == FullAt)
            return FaultKind.Full;
        if (operation == Operation.HoldsLock)
            return LocksHeld-- > 0 ? null : FaultKind.LockLost;
        if (operation is Operation.SyncData or Operation.Sync or Operation.SyncDirectory && SyncsUntilError-- == 0)
            return FaultKind.SyncError;
        if (!Errors.Contains(number))
            return null;
        return operation switch
        {
            Operation.Write => FaultKind.WriteError,
            Operation.SyncData or Operation.Sync or Operation.SyncDirectory => FaultKind.SyncError,
            Operation.Read => FaultKind.ReadError,
            _ => FaultKind.OtherError,
        };
    }
}
