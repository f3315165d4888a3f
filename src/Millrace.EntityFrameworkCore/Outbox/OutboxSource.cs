using System.Data.Common;
using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;

namespace Millrace.EntityFrameworkCore;

/// <summary>One outbox of this process: whose it is, how it is relayed, and what has rows that are not committed yet.</summary>
internal sealed class OutboxSource(Type contextType)
{
    // Rows that are not saved yet, by context, which may come from a pool: then it has an entry for all its lives. One caller at a time.
    private readonly ConditionalWeakTable<DbContext, List<OutboxRow>> _written = [];

    // Transactions in which rows were saved. Several contexts may share one, and any of them commit it.
    private readonly ConditionalWeakTable<DbTransaction, object> _transactions = [];

    public Type ContextType { get; } = contextType;

    public OutboxOptions Options { get; } = new();

    public OutboxSignal Signal { get; } = new();

    public void Written(DbContext db, OutboxRow row) => _written.GetOrCreateValue(db).Add(row);

    /// <summary>Rows were saved that are committed with this transaction.</summary>
    public void Saved(DbTransaction transaction) => _transactions.AddOrUpdate(transaction, this);

    /// <summary>Wakes the relay if rows were saved in the transaction.</summary>
    public void Committed(DbTransaction transaction)
    {
        if (_transactions.Remove(transaction))
            Signal.Wake();
    }

    /// <summary>The application has no more use for rows that are saved; a context that lives long would collect them.</summary>
    /// <returns>Whether rows were saved.</returns>
    public bool Release(DbContext db)
    {
        if (!_written.TryGetValue(db, out var written))
            return false;
        var isSaved = false;
        written.RemoveAll(row =>
        {
            // Still added: saved without accepting the changes.
            var entry = db.Entry(row);
            isSaved |= entry.State is EntityState.Unchanged or EntityState.Added;
            if (entry.State == EntityState.Unchanged)
                entry.State = EntityState.Detached;
            return entry.State == EntityState.Detached;
        });
        return isSaved;
    }
}
