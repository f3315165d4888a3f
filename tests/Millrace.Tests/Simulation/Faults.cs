using System.Text;

namespace Millrace.Tests.Simulation;

/// <summary>What the simulated machine can do to a store. Each kind is counted where it had an effect, not where it was drawn.</summary>
internal enum FaultKind
{
    /// <summary>The process ended; what it had written is in the page cache.</summary>
    ProcessKill,

    /// <summary>The machine ended; what was not synced is there or not, in any combination.</summary>
    PowerCut,

    /// <summary>The end came before the operation had any effect.</summary>
    CrashBefore,

    /// <summary>The end came in the middle of the operation.</summary>
    CrashDuring,

    /// <summary>The end came when the operation was done and before its caller knew.</summary>
    CrashAfter,

    /// <summary>The end came while the store recovered from an earlier one.</summary>
    CrashInRecovery,

    /// <summary>Unsynced bytes did not survive a power cut.</summary>
    LostWrite,

    /// <summary>The first part of a write survived, up to a sector or any byte.</summary>
    TornWrite,

    /// <summary>Some sectors of a write survived, later ones without earlier ones.</summary>
    ScatteredWrite,

    /// <summary>A later unsynced write survived and an earlier one did not.</summary>
    ReorderedWrite,

    /// <summary>The length survived and the bytes did not: zeros.</summary>
    ZeroPages,

    /// <summary>A truncation did not survive.</summary>
    LostTruncation,

    /// <summary>A name that was made, changed or deleted without a sync of the directory did not survive as such.</summary>
    LostName,

    /// <summary>A name survived although the directory was not synced.</summary>
    EarlyName,

    /// <summary>A write left a first part behind and failed for want of room.</summary>
    Full,

    /// <summary>A write failed and left a first part behind.</summary>
    WriteError,

    /// <summary>A sync failed: its bytes will never reach the device, and look as if they had.</summary>
    SyncError,

    /// <summary>Bytes of a failed sync, clean in the page cache and not on the device, were still there for the next process.</summary>
    DroppedPage,

    /// <summary>The page cache let go of such bytes while a process was reading them.</summary>
    EvictedPage,

    /// <summary>A read failed.</summary>
    ReadError,

    /// <summary>Another operation failed: making, opening, renaming, deleting, listing or truncating a file.</summary>
    OtherError,

    /// <summary>Another process took the directory over.</summary>
    LockLost,

    /// <summary>A bit of the durable bytes changed.</summary>
    BitFlip,

    /// <summary>The wall clock jumped back.</summary>
    ClockBack,

    /// <summary>The wall clock jumped forward.</summary>
    ClockForward,
}

/// <summary>The calls of the storage seam.</summary>
internal enum Operation
{
    List,
    Create,
    Open,
    Rename,
    Delete,
    SyncDirectory,
    HoldsLock,
    Read,
    Write,
    SetLength,
    SyncData,
    Sync,
    None,
}

/// <summary>What a file is for, by its name.</summary>
internal enum FileRole
{
    Journal,
    NewJournal,
    Snapshot,
    NewSnapshot,
    SetAside,
    Directory,
    Other,
}

/// <summary>What the store was doing.</summary>
internal enum Phase
{
    Recovery,
    Append,
    Roll,
    Snapshot,
    Cleanup,
    Close,
    Rest,
}

/// <summary>Where a fault struck.</summary>
internal readonly record struct FaultPoint(FaultKind Kind, Operation Operation, FileRole File, Phase Phase);

/// <summary>How often each kind of fault struck, and where.</summary>
internal sealed class FaultCounts
{
    private readonly long[] _counts = new long[Enum.GetValues<FaultKind>().Length];
    private readonly Dictionary<FaultPoint, long> _points = [];

    public long this[FaultKind kind] => _counts[(int)kind];

    public int DistinctPoints => _points.Count;

    /// <summary>What the store did of itself that must be seen, too: rolled, cut a tail off, and so on.</summary>
    public Dictionary<string, long> Events { get; } = [];

    /// <summary>Recoveries that were themselves ended, by how many in a row.</summary>
    public long[] RecoveryCrashDepths { get; } = new long[4];

    public void Add(FaultPoint point)
    {
        _counts[(int)point.Kind]++;
        _points[point] = _points.GetValueOrDefault(point) + 1;
    }

    public void See(string what) => Events[what] = Events.GetValueOrDefault(what) + 1;

    public void AddAll(FaultCounts other)
    {
        for (var kind = 0; kind < _counts.Length; kind++)
            _counts[kind] += other._counts[kind];
        for (var depth = 0; depth < RecoveryCrashDepths.Length; depth++)
            RecoveryCrashDepths[depth] += other.RecoveryCrashDepths[depth];
        foreach (var (what, count) in other.Events)
            Events[what] = Events.GetValueOrDefault(what) + count;
        foreach (var (point, count) in other._points)
            _points[point] = _points.GetValueOrDefault(point) + count;
    }

    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append("faults fired: ").AppendJoin(", ", Enum.GetValues<FaultKind>().Select(kind => $"{kind} {this[kind]}")).AppendLine();
        text.AppendLine($"seen: {string.Join(", ", Events.OrderBy(item => item.Key, StringComparer.Ordinal).Select(item => $"{item.Key} {item.Value}"))}");
        text.AppendLine($"recoveries ended 1, 2, 3 times in a row: {string.Join(", ", RecoveryCrashDepths[1..])}");
        text.AppendLine($"{DistinctPoints} distinct fault points");
        return text.ToString();
    }

    /// <summary>Every fault point with its count.</summary>
    public string Points() => string.Join(
        Environment.NewLine,
        _points.OrderBy(item => item.Key.ToString(), StringComparer.Ordinal)
            .Select(item => $"{item.Value,9} {item.Key.Kind} {item.Key.Operation} {item.Key.File} {item.Key.Phase}"));
}
