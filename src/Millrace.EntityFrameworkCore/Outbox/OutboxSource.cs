using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;

namespace Millrace.EntityFrameworkCore;

/// <summary>One outbox of this process: whose it is, how it is relayed, and which of its contexts have rows that are not committed yet.</summary>
internal sealed class OutboxSource(Type contextType)
{
    // By context, which may come from a pool: then it has an entry for all its lives.
    private readonly ConditionalWeakTable<DbContext, WrittenRows> _written = [];

    public Type ContextType { get; } = contextType;

    public OutboxOptions Options { get; } = new() { Name = contextType.FullName };

    public OutboxSignal Signal { get; } = new();

    public void Written(DbContext db, OutboxRow row)
    {
        var written = _written.GetOrCreateValue(db);
        written.Tracked.Add(row);
        written.IsUnannounced = true;
    }

    /// <summary>Wakes the relay if the context has written rows since it did so last.</summary>
    public void Committed(DbContext? db)
    {
        if (db is null || !_written.TryGetValue(db, out var written) || !written.IsUnannounced)
            return;
        written.IsUnannounced = false;
        Signal.Wake();
    }

    /// <summary>The application has no more use for rows that are saved; a context that lives long would collect them.</summary>
    public void Release(DbContext db)
    {
        if (!_written.TryGetValue(db, out var written))
            return;
        written.Tracked.RemoveAll(row =>
        {
            var entry = db.Entry(row);
            if (entry.State == EntityState.Unchanged)
                entry.State = EntityState.Detached;
            return entry.State == EntityState.Detached;
        });
    }

    /// <summary>Of one context, which is used by one caller at a time. The end of an ambient transaction may come on another thread.</summary>
    private sealed class WrittenRows
    {
        private volatile bool _isUnannounced;

        public List<OutboxRow> Tracked { get; } = [];

        public bool IsUnannounced
        {
            get => _isUnannounced;
            set => _isUnannounced = value;
        }
    }
}
