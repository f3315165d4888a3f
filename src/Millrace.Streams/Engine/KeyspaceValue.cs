namespace Millrace.Streams.Engine;

/// <summary>
/// What a key holds. A key keeps its type until it is deleted: another use of it is <see cref="StreamErrorCode.WrongType"/>.
/// </summary>
internal abstract class KeyspaceValue;

/// <summary>A state document.</summary>
internal sealed class StateValue(long version, ReadOnlyMemory<byte> payload, long? expiresMs) : KeyspaceValue
{
    public long Version { get; } = version;

    /// <summary>Immutable and owned by the engine.</summary>
    public ReadOnlyMemory<byte> Payload { get; } = payload;

    /// <summary>When a tick takes the document away, in Unix milliseconds, or null: never.</summary>
    public long? ExpiresMs { get; } = expiresMs;
}

/// <summary>The entries that wait for their time to be appended to one stream.</summary>
internal sealed class ScheduleValue(string stream) : KeyspaceValue
{
    /// <summary>Ordered by due time, then by order of arrival.</summary>
    private readonly PriorityQueue<EntryFields, (long DueMs, long Order)> _entries = new();

    private long _order;

    public string Stream { get; } = stream;

    public int Count => _entries.Count;

    /// <summary>When the first entry is due. There must be one.</summary>
    public long FirstDueMs =>
        _entries.TryPeek(out _, out var priority) ? priority.DueMs : throw new InvalidOperationException("Nothing is scheduled.");

    /// <summary>All entries in the order they will be appended. For tests and snapshots: sorts.</summary>
    public IEnumerable<(long DueMs, EntryFields Fields)> InOrder =>
        _entries.UnorderedItems.OrderBy(item => item.Priority).Select(item => (item.Priority.DueMs, item.Element));

    public void Add(long dueMs, EntryFields fields) => _entries.Enqueue(fields, (dueMs, _order++));

    public bool TryTakeDue(long nowMs, out EntryFields fields)
    {
        fields = default;
        if (_entries.Count == 0 || FirstDueMs > nowMs)
            return false;
        fields = _entries.Dequeue();
        return true;
    }
}
