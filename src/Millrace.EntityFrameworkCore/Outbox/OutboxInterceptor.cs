using System.Data.Common;
using System.Transactions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Storage;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// Wakes the relay when rows are committed: by a SaveChanges of its own, the end of an explicit transaction, or that of an ambient or enlisted one. One that is
/// committed behind the back of Entity Framework is found by the next poll.
/// </summary>
internal sealed class OutboxInterceptor(OutboxSource source) : SaveChangesInterceptor, IDbTransactionInterceptor
{
    public override int SavedChanges(SaveChangesCompletedEventData eventData, int result)
    {
        Saved(eventData.Context!);
        return result;
    }

    public override ValueTask<int> SavedChangesAsync(
        SaveChangesCompletedEventData eventData, int result, CancellationToken cancellationToken = default)
    {
        Saved(eventData.Context!);
        return new(result);
    }

    public void TransactionCommitted(DbTransaction transaction, TransactionEndEventData eventData) => source.Committed(transaction);

    public Task TransactionCommittedAsync(
        DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        source.Committed(transaction);
        return Task.CompletedTask;
    }

    private void Saved(DbContext db)
    {
        if (!source.Release(db))
            return;
        if (db.Database.CurrentTransaction is { } transaction)
            source.Saved(transaction.GetDbTransaction());
        else if ((db.Database.GetEnlistedTransaction() ?? Transaction.Current) is { } ambient)
            ambient.TransactionCompleted += (_, _) => source.Signal.Wake();
        else
            source.Signal.Wake();
    }
}
