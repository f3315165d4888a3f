namespace Millrace.Tests.Simulation;

/// <summary>A directory on a machine that can fail: what outlives the processes that open it.</summary>
/// <remarks>
/// The names on the device and the changes since the last sync of the directory are kept apart, as the bytes of each file are. A power cut keeps any
/// of the unsynced changes: none, all, the first few (as a file system with an ordered journal does), or any of them.
/// </remarks>
internal sealed class SimulatedDisk
{
    private readonly List<NameChange> _unsynced = [];
    private Dictionary<string, SimulatedInode> _durable = new(StringComparer.Ordinal);

    /// <summary>The files as a process sees them.</summary>
    public SortedDictionary<string, SimulatedInode> Files { get; private set; } = new(StringComparer.Ordinal);

    /// <summary>Whether a power cut now would lose nothing.</summary>
    public bool IsSynced => _unsynced.Count == 0 && Files.Values.All(file => file.IsSynced);

    public SimulatedInode Create(string name)
    {
        var inode = new SimulatedInode { Name = name };
        Change(new(name, inode, null));
        return inode;
    }

    public void Rename(string from, string to) => Change(new(to, Files[from], from));

    public void Delete(string name) => Change(new(name, null, null));

    public void SyncNames() => SyncNames(_unsynced.Count);

    /// <summary>A sync of the directory that was cut off, or failed: the first changes are on the device.</summary>
    public void SyncNames(int count)
    {
        foreach (var change in _unsynced.Take(count))
            Apply(change, _durable);
        _unsynced.RemoveRange(0, count);
    }

    public int UnsyncedNames => _unsynced.Count;

    /// <summary>The process ended, the machine did not.</summary>
    /// <param name="random">The dice.</param>
    /// <param name="mayDroppedSurvive">Whether the next process may read what the device never got because a sync failed.</param>
    /// <param name="fired">Told when it may.</param>
    public void Kill(Random random, bool mayDroppedSurvive, Action<FaultKind, FileRole> fired)
    {
        foreach (var (name, file) in Files)
            file.Restart(random, mayDroppedSurvive, kind => fired(kind, RoleOf(name)));
    }

    public void CutPower(Random random, Action<FaultKind, FileRole> fired)
    {
        var mode = random.Next(4);
        var prefix = mode == 2 ? random.Next(_unsynced.Count + 1) : 0;
        for (var i = 0; i < _unsynced.Count; i++)
        {
            var isKept = mode == 1 || (mode == 2 && i < prefix) || (mode == 3 && random.Next(2) == 0);
            fired(isKept ? FaultKind.EarlyName : FaultKind.LostName, RoleOf(_unsynced[i].Name));
            if (isKept)
                Apply(_unsynced[i], _durable);
        }

        _unsynced.Clear();
        Files = new(_durable, StringComparer.Ordinal);
        foreach (var (name, file) in Files)
        {
            file.Name = name;
            file.CutPower(random, kind => fired(kind, RoleOf(name)));
        }

        _durable = new(Files, StringComparer.Ordinal);
    }

    /// <summary>Every name with its bytes, to see whether anything changed.</summary>
    public Dictionary<string, byte[]> Image() => Files.ToDictionary(file => file.Key, file => file.Value.Bytes.ToArray(), StringComparer.Ordinal);

    public static FileRole RoleOf(string name) => name switch
    {
        _ when name.EndsWith(".journal", StringComparison.Ordinal) => FileRole.Journal,
        _ when name.EndsWith(".journal.new", StringComparison.Ordinal) => FileRole.NewJournal,
        _ when name.EndsWith(".snapshot", StringComparison.Ordinal) => FileRole.Snapshot,
        _ when name.EndsWith(".snapshot.new", StringComparison.Ordinal) => FileRole.NewSnapshot,
        _ when name.EndsWith(".bad", StringComparison.Ordinal) || name.EndsWith(".bad.new", StringComparison.Ordinal) => FileRole.SetAside,
        "" => FileRole.Directory,
        _ => FileRole.Other,
    };

    private void Change(NameChange change)
    {
        Apply(change, Files);
        _unsynced.Add(change);
        if (change.Inode is not null)
            change.Inode.Name = change.Name;
    }

    private static void Apply(NameChange change, IDictionary<string, SimulatedInode> names)
    {
        if (change.From is not null)
            names.Remove(change.From);
        if (change.Inode is null)
            names.Remove(change.Name);
        else
            names[change.Name] = change.Inode;
    }

    /// <summary>A name that now means a file, or none; and the name the file had before.</summary>
    private readonly record struct NameChange(string Name, SimulatedInode? Inode, string? From);
}
