using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>A stream: its entries, its counters and its groups.</summary>
/// <param name="idmpDurationSeconds">For how long it remembers an idempotent ID, in seconds, unless it is told otherwise.</param>
/// <param name="idmpMaxSize">How many idempotent IDs of a producer it remembers, unless it is told otherwise.</param>
internal sealed partial class StreamValue(long idmpDurationSeconds, long idmpMaxSize) : KeyspaceValue
{
    private readonly Dictionary<string, ConsumerGroup> _groups = new(StringComparer.Ordinal);
    private IdempotentProducers? _producers;

    public string Name => Key;

    public override string TypeName => "stream";

    public override string Encoding => "stream";

    public EntryLog Entries { get; private init; } = new();

    /// <summary>The last ID ever given out; never goes back, also when the clock does.</summary>
    public EntryId LastGeneratedId { get; private set; }

    /// <summary>The largest ID deleted by name, or 0-0. Trimming does not move it.</summary>
    public EntryId MaxDeletedId { get; private set; }

    /// <summary>
    /// Entries ever appended. XSETID can bring it to the largest number, from where it goes on below zero, as in Redis: to be compared as unsigned.
    /// </summary>
    public long EntriesAdded { get; private set; }

    /// <summary>What is remembered of messages with an idempotent ID. Made on first use.</summary>
    public IdempotentProducers Producers => _producers ??= new(idmpDurationSeconds, idmpMaxSize);

    /// <summary>The group that was looked up last: only its size may have changed since it was counted.</summary>
    private ConsumerGroup? _lookedAt;

    private long _groupBytes;

    /// <inheritdoc/>
    public override long SizeBytes
    {
        get
        {
            Count(_lookedAt);
            return 400 + Entries.SizeBytes + _groupBytes + (_producers?.SizeBytes ?? 0);
        }
    }

    public IReadOnlyCollection<ConsumerGroup> Groups => _groups.Values;

    /// <summary>
    /// The ID after <paramref name="last"/> at a moment, or null when the stream's IDs are used up. A clock that went back is held at the
    /// last ID's millisecond, where the sequence counts on.
    /// </summary>
    public static EntryId? NextId(EntryId last, long nowMs)
    {
        if ((ulong)Math.Max(0, nowMs) > last.Milliseconds)
            return new((ulong)nowMs, 0);
        return last == EntryId.Max ? null : last.Next();
    }

    /// <summary>Whether this many more entries can get an ID.</summary>
    public bool HasRoomFor(int count) =>
        LastGeneratedId.Milliseconds < ulong.MaxValue || ulong.MaxValue - LastGeneratedId.Sequence >= (ulong)count;

    /// <summary>The ID the next entry gets at a moment. The caller has checked that there is an ID left.</summary>
    public EntryId NextIdAt(long nowMs) => NextId(LastGeneratedId, nowMs) ?? throw EngineErrors.IdsUsedUp(Name);

    /// <summary>Appends an entry at a moment. The caller has checked that there is an ID left.</summary>
    public EntryId Append(EntryFields fields, long nowMs, int maxBlockEntries)
    {
        var id = NextIdAt(nowMs);
        Append(id, fields, maxBlockEntries);
        return id;
    }

    /// <summary>Appends an entry with an ID above the last one.</summary>
    public void Append(EntryId id, EntryFields fields, int maxBlockEntries)
    {
        Debug.Assert(id > LastGeneratedId, "IDs strictly increase.");
        Entries.Append(id, fields, maxBlockEntries);
        LastGeneratedId = id;
        EntriesAdded++;
    }

    public bool Delete(EntryId id)
    {
        if (!Entries.Delete(id))
            return false;
        if (id > MaxDeletedId)
            MaxDeletedId = id;
        return true;
    }

    /// <summary>Deletes an entry by name as a policy says.</summary>
    /// <param name="id">Its ID.</param>
    /// <param name="policy">What it does to the groups that refer to it, also when the entry itself is gone already.</param>
    /// <param name="changed">Set when an entry or a reference to it is gone.</param>
    public DeleteOutcome Delete(EntryId id, ReferencePolicy policy, ref bool changed)
    {
        if (policy == ReferencePolicy.Acked && IsReferenced(id))
            return DeleteOutcome.StillReferenced;
        if (policy == ReferencePolicy.Delete)
            changed |= DropReferences(id);
        if (!Delete(id))
            return DeleteOutcome.Missing;
        changed = true;
        return DeleteOutcome.Deleted;
    }

    /// <summary>Drops the oldest entries.</summary>
    /// <returns>How many.</returns>
    public long Trim(in TrimRequest trim) => Entries.Trim(trim, trim.References switch
    {
        ReferencePolicy.Keep => null,
        ReferencePolicy.Acked => id => !IsReferenced(id),
        _ => id =>
        {
            DropReferences(id);
            return true;
        },
    });

    /// <summary>Sets the counters by hand. The last ID must not be below an entry.</summary>
    /// <param name="lastGeneratedId">The last ID given out.</param>
    /// <param name="entriesAdded">Entries ever appended; null: as it is.</param>
    /// <param name="maxDeletedId">The largest ID deleted by name; null: as it is.</param>
    public void SetCounters(EntryId lastGeneratedId, long? entriesAdded, EntryId? maxDeletedId)
    {
        Debug.Assert(lastGeneratedId >= Entries.LastId, "IDs strictly increase.");
        LastGeneratedId = lastGeneratedId;
        if (Entries.LastAddedId > lastGeneratedId)
            Entries.ForgetDeletedEnd();
        EntriesAdded = entriesAdded ?? EntriesAdded;
        MaxDeletedId = maxDeletedId ?? MaxDeletedId;
    }

    public ConsumerGroup? FindGroup(string group)
    {
        var found = _groups.GetValueOrDefault(group);
        if (found is not null && found != _lookedAt)
        {
            Count(_lookedAt);
            _lookedAt = found;
        }

        return found;
    }

    public bool AddGroup(string group, GroupStart start)
    {
        if (FindGroup(group) is not null)
            return false;
        Add(new ConsumerGroup(group, Resolve(start)));
        return true;
    }

    public bool RemoveGroup(string group)
    {
        if (!_groups.Remove(group, out var removed))
            return false;
        _groupBytes -= removed.CountedBytes;
        if (removed == _lookedAt)
            _lookedAt = null;
        return true;
    }

    /// <summary>The ID a group starts after.</summary>
    public EntryId Resolve(GroupStart start) => start.IsNow ? LastGeneratedId : start.LastDelivered;

    /// <summary>Whether the group has entries to deliver.</summary>
    public bool HasNewFor(ConsumerGroup group) => Entries.LastId > group.LastDeliveredId;

    /// <summary>Delivers the entries after the group's last one, which become pending for a consumer, or for nobody when it is null.</summary>
    public DeliveredRange Deliver(ConsumerGroup group, Consumer? consumer, int count, long nowMs)
    {
        if (!HasNewFor(group))
            return default;

        var range = Entries.From(group.LastDeliveredId.Next(), EntryId.Max);
        var (first, packedBytes, delivered) = (EntryId.Zero, 0L, 0);
        for (; delivered < count && range.MoveNext(); delivered++)
        {
            ref readonly var entry = ref range.Current;
            if (delivered == 0)
                first = entry.Id;
            if (consumer is not null)
                group.Deliver(entry.Id, consumer, nowMs);
            Advance(group, entry.Id);
            packedBytes += entry.PackedSize;
        }

        return new(first, delivered, packedBytes);
    }

    /// <summary>Copies out what was just delivered.</summary>
    public DeliveredEntry[] Copy(DeliveredRange delivered)
    {
        if (delivered.Count == 0)
            return [];

        var range = Entries.From(delivered.First, EntryId.Max);
        var packer = new EntryPacker(delivered.PackedBytes);
        var entries = new DeliveredEntry[delivered.Count];
        for (var i = 0; i < entries.Length && range.MoveNext(); i++)
            entries[i] = new(range.Current.Id, packer.Pack(in range.Current), 1);
        return entries;
    }

    /// <summary>
    /// Entries not yet delivered to the group, or null when it cannot be known. The rules are Redis 8's, so that both stores tell the same:
    /// deletions by name leave holes nobody counted, and ahead of the group they make the count unknowable.
    /// </summary>
    public long? LagOf(ConsumerGroup group)
    {
        if (EntriesAdded == 0 || Entries.Count == 0)
            return 0;
        if (group.LastDeliveredId < Entries.FirstId && MaxDeletedId < Entries.FirstId)
            return Entries.Count;
        if (group.EntriesRead is { } read && !HasHoleAhead(group))
            return EntriesAdded - read;
        return EntriesAdded - PositionOf(group.LastDeliveredId);
    }

    /// <summary>Whether a group has yet to read the entry or to acknowledge it.</summary>
    private bool IsReferenced(EntryId id)
    {
        foreach (var group in _groups.Values)
        {
            if (group.LastDeliveredId < id || group.Pending.TryGet(id, out _))
                return true;
        }

        return false;
    }

    /// <summary>Makes the entry pending in no group.</summary>
    private bool DropReferences(EntryId id)
    {
        var changed = false;
        foreach (var group in _groups.Values)
        {
            if (!group.Ack(id))
                continue;
            changed = true;
            Count(group);
        }

        return changed;
    }

    /// <summary>Moves the group's cursor onto an entry it was just delivered, and its count of read entries with it.</summary>
    private void Advance(ConsumerGroup group, EntryId id)
    {
        group.EntriesRead = group.EntriesRead is { } read && group.LastDeliveredId >= Entries.FirstId && !HasHoleAhead(group)
            ? read + 1
            : PositionOf(id);
        group.LastDeliveredId = id;
    }

    private bool HasHoleAhead(ConsumerGroup group) => MaxDeletedId != EntryId.Zero && group.LastDeliveredId <= MaxDeletedId;

    /// <summary>How many entries were ever appended up to an ID, or null where deletions or an arbitrary ID make that unknowable.</summary>
    private long? PositionOf(EntryId id)
    {
        if (id != EntryId.Zero && id < MaxDeletedId)
            return null;
        if (id >= LastGeneratedId)
            return id == LastGeneratedId ? EntriesAdded : null;

        var isWhole = MaxDeletedId == EntryId.Zero || MaxDeletedId < Entries.FirstId;
        if (!isWhole || id > Entries.FirstId)
            return null;
        return EntriesAdded - Entries.Count + (id == Entries.FirstId ? 1 : 0);
    }

    public override KeyspaceValue Clone()
    {
        var clone = new StreamValue(idmpDurationSeconds, idmpMaxSize)
        {
            Entries = Entries.Clone(),
            LastGeneratedId = LastGeneratedId,
            MaxDeletedId = MaxDeletedId,
            EntriesAdded = EntriesAdded,
            _producers = _producers?.Clone(),
        };
        foreach (var group in _groups.Values)
            clone.Add(group.Clone());
        return clone;
    }

    private void Add(ConsumerGroup group)
    {
        _groups.Add(group.Name, group);
        Count(group);
    }

    private void Count(ConsumerGroup? group)
    {
        if (group is null)
            return;
        var bytes = group.SizeBytes;
        _groupBytes += bytes - group.CountedBytes;
        group.CountedBytes = bytes;
    }

    [Conditional("DEBUG")]
    public void Verify()
    {
        Entries.Verify();
        Debug.Assert(Entries.LastAddedId <= LastGeneratedId, "No entry is, or was, above the last generated ID.");
        Debug.Assert((ulong)Entries.Count <= (ulong)EntriesAdded, "What is there was added.");
        foreach (var group in _groups.Values)
            group.Verify();
    }
}
