namespace Millrace.Server.Users;

/// <summary>What was refused lately: <c>ACL LOG</c>. Under the store's lock.</summary>
internal sealed class AccessLog
{
    /// <summary>The same refusal within so long, in milliseconds, counts in the entry that is there. As Redis.</summary>
    private const long SameMs = 60_000;

    /// <summary>So many of the newest entries are looked at for the same refusal. As Redis.</summary>
    private const int SameAmong = 10;

    /// <summary>The newest first.</summary>
    private readonly LinkedList<AccessLogEntry> _entries = [];

    private long _nextId;

    /// <summary>Entries kept: <c>acllog-max-len</c>, with Redis's default.</summary>
    public int MaxEntries { get; set; } = 128;

    public IReadOnlyCollection<AccessLogEntry> Entries => _entries;

    /// <summary>Forgets all entries.</summary>
    public void Clear() => _entries.Clear();

    /// <param name="refusal">What was refused to whom.</param>
    /// <param name="client">The client, as <c>CLIENT LIST</c> describes it.</param>
    /// <param name="nowMs">Now, in Unix milliseconds.</param>
    public void Add(in Refusal refusal, string client, long nowMs)
    {
        var looked = 0;
        for (var node = _entries.First; node is not null && looked < SameAmong; node = node.Next, looked++)
        {
            var entry = node.Value;
            if (entry.Refusal != refusal || nowMs - entry.UpdatedMs > SameMs)
                continue;
            entry.Count++;
            (entry.Client, entry.UpdatedMs) = (client, nowMs);
            _entries.Remove(node);
            _entries.AddFirst(node);
            return;
        }

        _entries.AddFirst(new AccessLogEntry(_nextId++, refusal, nowMs) { Client = client, UpdatedMs = nowMs });
        while (_entries.Count > MaxEntries)
            _entries.RemoveLast();
    }
}

/// <summary>What was refused to whom.</summary>
/// <param name="Reason"><c>command</c>, <c>key</c>, <c>channel</c> or <c>auth</c>.</param>
/// <param name="Context"><c>toplevel</c> or <c>multi</c>.</param>
/// <param name="Object">The command, key or channel.</param>
/// <param name="Username">Who it was, or pretended to be.</param>
internal readonly record struct Refusal(string Reason, string Context, string Object, string Username);

/// <summary>A refusal, and how often it happened.</summary>
internal sealed class AccessLogEntry(long id, Refusal refusal, long createdMs)
{
    public long Id { get; } = id;

    public Refusal Refusal { get; } = refusal;

    public long CreatedMs { get; } = createdMs;

    public long UpdatedMs { get; set; }

    public int Count { get; set; } = 1;

    /// <summary>The client that was refused last, as <c>CLIENT LIST</c> describes it.</summary>
    public required string Client { get; set; }
}
