using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>
/// What a key holds. A key keeps its type until it is deleted: another use of it is <see cref="StreamErrorCode.WrongType"/>.
/// </summary>
internal abstract class KeyspaceValue
{
    /// <summary>The key it is kept under. Set by the keyspace.</summary>
    public string Key { get; set; } = "";

    /// <summary>Its place in the keyspace's slots. Set by the keyspace.</summary>
    public int Slot { get; set; }

    /// <summary>When a tick takes the key away, in Unix milliseconds, or null: never. Changed through <see cref="StreamEngine.SetExpiry"/>.</summary>
    public long? ExpiresMs { get; set; }

    /// <summary>The moment the engine has it registered for, or <see cref="long.MaxValue"/>. Kept by the engine.</summary>
    public long RegisteredDueMs { get; set; } = long.MaxValue;

    /// <summary>When a tick must look at the key, or <see cref="long.MaxValue"/>.</summary>
    public virtual long DueMs => ExpiresMs ?? long.MaxValue;

    /// <summary>What the <c>TYPE</c> command says.</summary>
    public abstract string TypeName { get; }

    /// <summary>What <c>OBJECT ENCODING</c> says.</summary>
    public virtual string Encoding => "raw";

    /// <summary>Bytes of memory the value takes, about, without its key. Costs next to nothing to ask, however much it holds.</summary>
    public abstract long SizeBytes { get; }

    /// <summary>What the engine has counted for the key and the value. Kept by the engine.</summary>
    public long CountedBytes { get; set; }

    /// <summary>What it is in a record.</summary>
    public abstract ValueKind Kind { get; }

    /// <summary>Writes the parts of a record, drawn at <see cref="ValueRecord"/>, without key and expiry.</summary>
    public abstract void Write(RecordWriter writer);

    /// <summary>A deep copy of the value, under no key and without an expiry. What never changes is shared.</summary>
    public abstract KeyspaceValue Clone();

    /// <summary>The value as it is now, for a snapshot, whatever becomes of this one. Called under the store's lock: cheap.</summary>
    public virtual KeyspaceValue Capture() => Clone();

    /// <summary>Writes the parts of a snapshot, drawn at <see cref="Snapshots.SnapshotWriter"/>: those of a record unless more is needed.</summary>
    public virtual void WriteSnapshot(RecordWriter writer) => Write(writer);
}

/// <summary>The entries that wait for their time to be appended to one stream.</summary>
internal sealed class ScheduleValue : KeyspaceValue
{
    /// <summary>Ordered by due time, then by order of arrival.</summary>
    private readonly PriorityQueue<EntryFields, (long DueMs, long Order)> _entries;

    private long _order;

    private long _fieldBytes;

    public ScheduleValue(string stream) => (Stream, _entries) = (stream, new());

    /// <summary>A copy: the items as they lie, in one go, so that a snapshot of a million holds nobody up while it is captured.</summary>
    private ScheduleValue(ScheduleValue other) =>
        (Stream, _entries, _order, _fieldBytes) = (other.Stream, new(other._entries.UnorderedItems), other._order, other._fieldBytes);

    public string Stream { get; }

    public int Count => _entries.Count;

    /// <summary>A type of our own, as Redis modules have them. On Redis it is a sorted set, whose commands the server does not have.</summary>
    public override string TypeName => "millrace-schedule";

    public override ValueKind Kind => ValueKind.Schedule;

    /// <summary>An entry is an item of the queue, 56 bytes, and the array of its fields.</summary>
    public override long SizeBytes => 200 + (Count * 80L) + _fieldBytes;

    public override long DueMs => Math.Min(base.DueMs, Count == 0 ? long.MaxValue : FirstDueMs);

    /// <summary>When the first entry is due. There must be one.</summary>
    public long FirstDueMs =>
        _entries.TryPeek(out _, out var priority) ? priority.DueMs : throw new InvalidOperationException("Nothing is scheduled.");

    /// <summary>All entries in the order they will be appended. For tests and snapshots: sorts.</summary>
    public IEnumerable<(long DueMs, EntryFields Fields)> InOrder =>
        _entries.UnorderedItems.OrderBy(item => item.Priority).Select(item => (item.Priority.DueMs, item.Element));

    public void Add(long dueMs, EntryFields fields)
    {
        _entries.Enqueue(fields, (dueMs, _order++));
        _fieldBytes += fields.Packed.Length;
    }

    public override KeyspaceValue Clone() => new ScheduleValue(this);

    public override void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Number(Count);
        foreach (var (dueMs, fields) in InOrder)
        {
            writer.Number(dueMs);
            writer.Fields(fields);
        }
    }

    public static ScheduleValue Read(ref RecordReader reader)
    {
        var (schedule, left) = (new ScheduleValue(reader.Text()), reader.Count());
        if (left == 0)
            throw EngineErrors.Damaged("a schedule is empty", 0);
        for (; left > 0; left--)
        {
            var (dueMs, fields) = (reader.PositiveNumber(), reader.Fields());
            if (fields.Count == 0)
                throw EngineErrors.Damaged("an entry is empty", 0);
            schedule.Add(dueMs, fields);
        }

        return schedule;
    }

    public bool TryTakeDue(long nowMs, out EntryFields fields)
    {
        fields = default;
        if (_entries.Count == 0 || FirstDueMs > nowMs)
            return false;
        fields = _entries.Dequeue();
        _fieldBytes -= fields.Packed.Length;
        return true;
    }
}
