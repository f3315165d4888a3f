using System.Runtime.ExceptionServices;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace Millrace.EntityFrameworkCore;

/// <summary>Handles messages once, with the changes of a <c>DbContext</c>.</summary>
public static class InboxDbContextExtensions
{
    extension(DbContext db)
    {
        /// <summary>
        /// Runs the work of a handler in a transaction that also records the message, so that its effects in this database happen exactly once: however
        /// often the
        /// message is delivered, at whichever moment a process dies, and when two processes get it at the same time, of which one waits for the other. What
        /// <c>db.Publish</c> puts into the outbox belongs to these effects.
        /// </summary>
        /// <remarks>
        /// Costs an insert at the beginning and the transaction; for a message that was delivered before, a query. The work must not settle the message
        /// by hand, and
        /// not have effects in the store (<c>context.Publish</c>, <c>context.State</c>): they leave after the transaction, and would be lost with a process
        /// that dies in between. With a retrying execution strategy the work may run several times, each time from a clean context.
        /// Rows are cleaned up by processes that call <c>AddInbox</c> or <c>AddInboxConsumer</c>, and by no others.
        /// </remarks>
        /// <param name="context">The context of the message.</param>
        /// <param name="work">What the handler does; changes that it leaves in the context are saved.</param>
        /// <param name="cancellationToken">The handler's.</param>
        /// <returns><see langword="false"/>: the message was handled before, by an earlier delivery or by a try of this call whose answer was lost, and nothing
        /// more was done. Let the handler return, so that it is acknowledged.</returns>
        /// <exception cref="InvalidOperationException">
        /// The model has no inbox, a transaction has begun already, or the work had effects in the store. Nothing was done.
        /// </exception>
        /// <exception cref="DbUpdateException">The database refused the changes. Let it pass, and the message is tried again.</exception>
        public async Task<bool> HandleOnceAsync(MessageContext context, Func<CancellationToken, Task> work, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(db);
            ArgumentNullException.ThrowIfNull(context);
            ArgumentNullException.ThrowIfNull(work);
            if (db.Model.FindEntityType(typeof(InboxRow)) is null)
                throw new InvalidOperationException(
                    $"The model of {db.GetType().Name} has no table for the inbox: call modelBuilder.AddMillraceInbox() in OnModelCreating.");

            var isAgain = false;
            return await db.Database.CreateExecutionStrategy().ExecuteAsync(
                async token =>
                {
                    if (isAgain)
                        db.ChangeTracker.Clear();
                    var mayBeHandled = isAgain || context.Attempt > 1 || context.DeliveryCount > 1;
                    isAgain = true;
                    return await TryHandleAsync(db, context, work, mayBeHandled, token).ConfigureAwait(false);
                },
                cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task<bool> TryHandleAsync(
        DbContext db, MessageContext context, Func<CancellationToken, Task> work, bool mayBeHandled, CancellationToken cancellationToken)
    {
        var row = InboxRow.Of(context);
        if (mayBeHandled && await IsHandledAsync(db, row, cancellationToken).ConfigureAwait(false))
            return false;

        var transaction = await db.Database.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using (transaction.ConfigureAwait(false))
        {
            // First of all, so that another process with the same message waits here, and has done nothing yet when it learns that it comes second.
            if (await TryRecordAsync(db, row, cancellationToken).ConfigureAwait(false) is { } failure)
            {
                if (!await IsHandledByAnotherAsync(db, transaction, row, cancellationToken).ConfigureAwait(false))
                    failure.Throw();
                return false;
            }

            await work(cancellationToken).ConfigureAwait(false);
            if (context.HasEffects)
                throw new InvalidOperationException(
                    $"The handler of '{context.Stream}' in group '{context.Group}' has effects in the store, which its inbox cannot keep: use db.Publish.");
            await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
            await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
            return true;
        }
    }

    /// <summary>Inserts the row.</summary>
    /// <returns>Why it could not, which may be that there is one.</returns>
    private static async Task<ExceptionDispatchInfo?> TryRecordAsync(DbContext db, InboxRow row, CancellationToken cancellationToken)
    {
        var entry = db.Add(row);
        try
        {
            await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
            return null;
        }
        catch (DbUpdateException exception) when (exception.Entries.Any(failed => failed.Entity == row))
        {
            // Providers name a duplicate key each in its own way; whether the row is there tells.
            return ExceptionDispatchInfo.Capture(exception);
        }
        finally
        {
            entry.State = EntityState.Detached;
        }
    }

    private static async Task<bool> IsHandledByAnotherAsync(
        DbContext db, IDbContextTransaction transaction, InboxRow row, CancellationToken cancellationToken)
    {
        try
        {
            await transaction.RollbackAsync(cancellationToken).ConfigureAwait(false);
            return await IsHandledAsync(db, row, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // The line is broken, or the table gone: the failure of the insert says it better, and decides whether it is tried again.
            return false;
        }
    }

    private static Task<bool> IsHandledAsync(DbContext db, InboxRow row, CancellationToken cancellationToken) => db.Set<InboxRow>().IgnoreQueryFilters()
        .AnyAsync(one => one.Consumer == row.Consumer && one.MessageId == row.MessageId, cancellationToken);
}
