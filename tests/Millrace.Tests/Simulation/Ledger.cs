using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Simulation;

/// <summary>
/// One stream with one group that nothing else touches, and what its callers were told of it. After a restart it is compared entry by entry,
/// without any code of the engine: no entry lost, none invented, none twice, IDs in order across lives, no acknowledged entry pending again.
/// </summary>
internal sealed class Ledger
{
    /// <summary>A database that the rest of the workload leaves alone.</summary>
    public const int Database = 5;

    public const string Stream = "ledger";
    public const string Group = "g";
    private readonly List<(long Lsn, EntryId Id, string Value)> _entries = [];
    private readonly List<(long Lsn, EntryId Id)> _delivered = [];
    private readonly List<(long Lsn, EntryId Id)> _acknowledged = [];
    private long _groupLsn = long.MaxValue;

    public static EntryFields FieldsOf(string value) => EntryFields.Create(("n", value));

    public bool HasGroup => _groupLsn != long.MaxValue;

    public EntryId? OldestPending
    {
        get
        {
            var acknowledged = _acknowledged.Select(item => item.Id).ToHashSet();
            return _delivered.Where(item => !acknowledged.Contains(item.Id)).Select(item => (EntryId?)item.Id).FirstOrDefault();
        }
    }

    public void GroupMade(long lsn) => _groupLsn = lsn;

    public void Appended(long lsn, EntryId id, string value)
    {
        if (_entries.Count > 0 && id <= _entries[^1].Id)
            throw new SimulationException($"Entry {id} was given out after {_entries[^1].Id}.");
        _entries.Add((lsn, id, value));
    }

    public void Delivered(long lsn, DeliveredRange range)
    {
        var next = _entries.FindIndex(entry => _delivered.Count == 0 || entry.Id > _delivered[^1].Id);
        for (var i = 0; i < range.Count; i++)
            _delivered.Add((lsn, _entries[next + i].Id));
    }

    public void Acknowledged(long lsn, EntryId id) => _acknowledged.Add((lsn, id));

    /// <summary>Forgets what came after a record, and compares the rest with what there is.</summary>
    public void Check(long lsn, StreamEngine engine)
    {
        _entries.RemoveAll(entry => entry.Lsn > lsn);
        _delivered.RemoveAll(entry => entry.Lsn > lsn);
        _acknowledged.RemoveAll(entry => entry.Lsn > lsn);
        if (_groupLsn > lsn)
            _groupLsn = long.MaxValue;
        var stream = engine.Databases[Database].Find(Stream) as StreamValue;
        var found = stream?.Entries.Read(EntryId.Zero, EntryId.Max, int.MaxValue) ?? [];
        if (!_entries.Select(entry => (entry.Id, FieldsOf(entry.Value))).SequenceEqual(found.Select(entry => (entry.Id, entry.Fields))))
            throw new SimulationException($"The ledger has {found.Length} entries at record {lsn} and should have {_entries.Count}, or others.");
        if (!HasGroup)
            return;
        var pending = new List<EntryId>();
        var group = stream?.FindGroup(Group) ?? throw new SimulationException($"The ledger's group is missing at record {lsn}.");
        foreach (var (id, _) in group.Pending)
            pending.Add(id);
        var acknowledged = _acknowledged.Select(item => item.Id).ToHashSet();
        if (!pending.SequenceEqual(_delivered.Select(item => item.Id).Where(id => !acknowledged.Contains(id))))
            throw new SimulationException(
                $"The ledger's pending entries at record {lsn} are {string.Join(' ', pending)}: acknowledged ones, or others, or too few.");
    }
}
