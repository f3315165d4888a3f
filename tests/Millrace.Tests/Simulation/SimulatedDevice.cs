using Millrace.Embedded.Storage;

namespace Millrace.Tests.Simulation;

/// <summary>
/// The directory as one process has it open. It ends with the process: from the operation on at which the plan says so, whatever the process still
/// tries fails and has no effect.
/// </summary>
internal sealed class SimulatedDevice(SimulatedDisk disk, LifePlan plan, Random random, FaultCounts counts, Trace trace) : IStorageDevice
{
    /// <summary>What a sync of the directory is for is told by what was done before it.</summary>
    private FileRole _lastRole = FileRole.Journal;

    private int _operations;

    public string Path => "simulated";

    /// <summary>Whether the process has ended.</summary>
    public bool IsDead { get; private set; }

    /// <summary>What the store is doing, as far as its driver knows: recovering, working (<see cref="Phase.Append"/>), closing.</summary>
    public Phase DriverPhase { get; set; } = Phase.Recovery;

    /// <summary>Whether there is no room. Only the driver makes room again.</summary>
    public bool IsFull { get; set; }

    /// <summary>Whether an operation of this process failed on which the journal depends, other than by its end or for want of room.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>Whether an operation of a snapshot failed, which is no reason to refuse anything but the snapshot.</summary>
    public bool HasSnapshotFailed { get; private set; }

    /// <summary>Whether an operation of this process failed for want of room.</summary>
    public bool HasBeenFull { get; private set; }

    /// <summary>Called when a write of the journal is done.</summary>
    public Action? JournalWritten { get; set; }

    /// <summary>
    /// Called when a write or sync of the journal fails for another reason than want of room, or another process has the directory, before the store
    /// learns of it: it must take no more writes.
    /// </summary>
    public Action<FaultKind>? JournalBreaks { get; set; }

    /// <summary>Called before each operation: other callers of the store act meanwhile.</summary>
    public Action<Operation, FileRole>? Meanwhile { get; set; }

    /// <summary>Operations so far.</summary>
    public int Operations => _operations;

    public IReadOnlyList<string> List()
    {
        var fault = Begin(Operation.List, "");
        string[] names = [.. disk.Files.Keys];
        End(fault);
        return names;
    }

    public IStorageFile Create(string name)
    {
        var fault = Begin(Operation.Create, name);
        if (IsFull)
            throw Full(Operation.Create, name);
        if (fault != FaultKind.CrashDuring || random.Next(2) == 0)
            disk.Create(name);
        End(fault);
        return new SimulatedFile(this, disk.Files[name]);
    }

    public IStorageFile Open(string name, bool writable)
    {
        var fault = Begin(Operation.Open, name);
        if (!disk.Files.TryGetValue(name, out var file))
            throw new FileNotFoundException($"There is no file '{name}'.");
        End(fault);
        return new SimulatedFile(this, file);
    }

    public void Rename(string from, string to)
    {
        var fault = Begin(Operation.Rename, to);
        if (!disk.Files.ContainsKey(from))
            throw new FileNotFoundException($"There is no file '{from}'.");
        if (fault != FaultKind.CrashDuring || random.Next(2) == 0)
            disk.Rename(from, to);
        End(fault);
        counts.See($"{SimulatedDisk.RoleOf(to)} renamed in {PhaseOf(Operation.Rename, SimulatedDisk.RoleOf(to))}");
    }

    public void Delete(string name)
    {
        var fault = Begin(Operation.Delete, name);
        if (disk.Files.ContainsKey(name) && (fault != FaultKind.CrashDuring || random.Next(2) == 0))
            disk.Delete(name);
        End(fault);
        counts.See($"{SimulatedDisk.RoleOf(name)} deleted in {PhaseOf(Operation.Delete, SimulatedDisk.RoleOf(name))}");
    }

    public void SyncDirectory()
    {
        var fault = Begin(Operation.SyncDirectory, "");
        disk.SyncNames(fault is null or FaultKind.CrashAfter ? disk.UnsyncedNames : random.Next(disk.UnsyncedNames + 1));
        End(fault);
        if (fault == FaultKind.SyncError)
            throw Error(Operation.SyncDirectory);
    }

    public bool HoldsLock()
    {
        var fault = Begin(Operation.HoldsLock, "");
        End(fault);
        return fault != FaultKind.LockLost;
    }

    public void Dispose()
    {
    }

    /// <summary>The process ends now, between two operations.</summary>
    public void Kill() => IsDead = true;

    /// <summary>What strikes the operation: nothing, an end in it or after it, or an error that leaves something behind.</summary>
    private FaultKind? Begin(Operation operation, string name)
    {
        ThrowIfDead();
        Meanwhile?.Invoke(operation, SimulatedDisk.RoleOf(name));
        ThrowIfDead();
        var role = SimulatedDisk.RoleOf(name);
        var fault = plan.Next(++_operations, operation);
        trace.Add(operation, name, fault);
        if (fault == FaultKind.Full)
        {
            // From here on, until the driver makes room. Counted when something fails of it.
            IsFull = true;
            fault = null;
        }

        if (fault is not null)
            Fire(fault.Value, operation, role);
        if (role != FileRole.Directory)
            _lastRole = role;
        if (fault == FaultKind.CrashBefore)
        {
            IsDead = true;
            ThrowIfDead();
        }

        return fault == FaultKind.OtherError ? throw Error(operation) : fault;
    }

    private void Fire(FaultKind fault, Operation operation, FileRole role)
    {
        counts.Add(new(fault, operation, role, PhaseOf(operation, role)));
        if (fault is FaultKind.CrashBefore or FaultKind.CrashDuring or FaultKind.CrashAfter)
            return;
        var isOfSnapshot = fault != FaultKind.LockLost && PhaseOf(operation, role) is (Phase.Snapshot or Phase.Cleanup);
        HasSnapshotFailed |= isOfSnapshot;
        HasFailed |= fault != FaultKind.Full && !isOfSnapshot;
        HasBeenFull |= fault == FaultKind.Full;
        if (fault == FaultKind.LockLost || (role == FileRole.Journal && fault is FaultKind.WriteError or FaultKind.SyncError))
            JournalBreaks?.Invoke(fault);
    }

    /// <summary>The process ends when the operation was its last, and does not learn of it when it ended during the operation.</summary>
    private void End(FaultKind? fault)
    {
        if (fault is not (FaultKind.CrashDuring or FaultKind.CrashAfter))
            return;
        IsDead = true;
        if (fault == FaultKind.CrashDuring)
            ThrowIfDead();
    }

    private void ThrowIfDead()
    {
        if (IsDead)
            throw new IOException("The simulated process has ended.");
    }

    private static IOException Error(Operation operation) => new($"Simulated error of {operation}.");

    private StorageFullException Full(Operation operation, string name)
    {
        Fire(FaultKind.Full, operation, SimulatedDisk.RoleOf(name));
        return new("Simulated: no space left.");
    }

    private Phase PhaseOf(Operation operation, FileRole role)
    {
        if (DriverPhase != Phase.Append)
            return DriverPhase;
        if (operation == Operation.Delete)
            return Phase.Cleanup;
        return (role == FileRole.Directory ? _lastRole : role) switch
        {
            FileRole.Snapshot or FileRole.NewSnapshot => Phase.Snapshot,
            FileRole.NewJournal => Phase.Roll,
            _ when operation is Operation.Create or Operation.Rename or Operation.SyncDirectory or Operation.HoldsLock => Phase.Roll,
            _ => Phase.Append,
        };
    }

    private sealed class SimulatedFile(SimulatedDevice device, SimulatedInode inode) : IStorageFile
    {
        public long Length
        {
            get
            {
                device.ThrowIfDead();
                return inode.Length;
            }
        }

        public int Read(Span<byte> buffer, long offset)
        {
            var fault = device.Begin(Operation.Read, inode.Name);
            if (fault == FaultKind.ReadError)
                throw Error(Operation.Read);
            if (inode.HasDropped && device.EvictsPages && device.Random.Next(4) == 0)
            {
                device.Fire(FaultKind.EvictedPage, Operation.Read, SimulatedDisk.RoleOf(inode.Name));
                inode.Evict(device.Random);
            }

            // Fewer bytes than asked for are no error.
            var count = buffer.Length > 1 && device.Random.Next(8) == 0 ? device.Random.Next(1, buffer.Length) : buffer.Length;
            count = inode.Read(buffer[..count], offset);
            device.End(fault);
            return count;
        }

        public void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            var fault = device.Begin(Operation.Write, inode.Name);
            device.Trace.Add(offset, bytes.Length);
            var isWhole = !device.IsFull && fault is null or FaultKind.CrashAfter;
            inode.Write(isWhole ? bytes : bytes[..device.Random.Next(bytes.Length)], offset);
            device.End(fault);
            if (fault == FaultKind.WriteError)
                throw Error(Operation.Write);
            if (!isWhole)
                throw device.Full(Operation.Write, inode.Name);
            if (SimulatedDisk.RoleOf(inode.Name) == FileRole.Journal)
                device.JournalWritten?.Invoke();
        }

        public void SetLength(long length)
        {
            var fault = device.Begin(Operation.SetLength, inode.Name);
            device.Trace.Add(length, 0);
            if (device.IsFull && length > inode.Length)
                throw device.Full(Operation.SetLength, inode.Name);
            if (fault != FaultKind.CrashDuring || device.Random.Next(2) == 0)
                inode.SetLength(length);
            device.End(fault);
        }

        public void SyncData() => Sync(Operation.SyncData);

        public void Sync() => Sync(Operation.Sync);

        public void Dispose()
        {
        }

        private void Sync(Operation operation)
        {
            var fault = device.Begin(operation, inode.Name);
            if (fault == FaultKind.SyncError)
            {
                inode.FailSync(device.Random);
                throw Error(operation);
            }

            if (fault == FaultKind.CrashDuring)
                inode.SyncFirst(device.Random);
            else
                inode.Sync();
            device.End(fault);
        }
    }

    private bool EvictsPages => plan.EvictsPages;

    private Random Random => random;

    private Trace Trace => trace;
}
