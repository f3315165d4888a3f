using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;

namespace Millrace.EntityFrameworkCore;

/// <summary>One outbox of this process: whose it is, how it is relayed, and which of its contexts have rows that are not committed yet.</summary>
internal sealed class OutboxSource(Type contextType)
{
    // By context, which may come from a pool: then it has an entry for all its lives.
    private readonly ConditionalWeakTable<DbContext, List<OutboxRow>> _written = [];

    public Type ContextType { get; } = contextType;

    public OutboxOptions Options { get; } = new() { Name = contextType.FullName };

    public OutboxSignal Signal { get; } = new();

    public void Written(DbContext db, OutboxRow row)
    {
        var rows = _written.GetOrCreateValue(db);
        lock (rows)
            rows.Add(row);
    }

    /// <summary>Wakes the relay if the context has written rows.</summary>
    public void Committed(DbContext? db)
    {
        if (db is null || !_written.TryGetValue(db, out var rows))
            return;
        lock (rows)
        {
            if (rows.Count == 0)
                return;
            rows.Clear();
        }

        Signal.Wake();
    }

    /// <summary>The application has no more use for rows that are saved; a context that lives long would collect them.</summary>
    public void Release(DbContext db)
    {
        if (!_written.TryGetValue(db, out var rows))
            return;
        lock (rows)
        {
            foreach (var entry in rows.Select(row => db.Entry(row)).Where(entry => entry.State == EntityState.Unchanged))
                entry.State = EntityState.Detached;
        }
    }
}
