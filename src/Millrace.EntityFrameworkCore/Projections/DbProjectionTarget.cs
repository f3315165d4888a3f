using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Projections;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// A read model in the tables of an application. A transaction first moves the checkpoint, and only from where the batch begins: it holds that row until it
/// ends, so that of two processes with the same batch one waits, and then finds another checkpoint.
/// </summary>
internal sealed class DbProjectionTarget<TDbContext>(
    string projection,
    Func<ProjectionBatch, TDbContext, CancellationToken, Task> fold,
    Func<int, TDbContext, CancellationToken, Task> remove,
    IServiceScopeFactory scopes) : IProjectionTarget
    where TDbContext : DbContext
{
    public async ValueTask<ProjectionCheckpoint> LoadAsync(int generation, CancellationToken cancellationToken)
    {
        var scope = scopes.CreateAsyncScope();
        await using var disposing = scope.ConfigureAwait(false);
        var db = scope.ServiceProvider.GetRequiredService<TDbContext>();
        var saved = await Rows(db, generation).Select(row => row.Checkpoint).FirstOrDefaultAsync(cancellationToken).ConfigureAwait(false);
        return saved is null ? ProjectionCheckpoint.Start : ProjectionCheckpoint.Parse(saved);
    }

    public async ValueTask<bool> ApplyAsync(ProjectionBatch batch, CancellationToken cancellationToken) => await InTransactionAsync(
        async db =>
        {
            if (!await MoveAsync(db, batch, cancellationToken).ConfigureAwait(false))
                return false;
            await fold(batch, db, cancellationToken).ConfigureAwait(false);
            return true;
        },
        cancellationToken).ConfigureAwait(false);

    public async ValueTask<bool> RemoveAsync(int generation, CancellationToken cancellationToken) => await InTransactionAsync(
        async db =>
        {
            await remove(generation, db, cancellationToken).ConfigureAwait(false);
            await Rows(db, generation).ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
            return true;
        },
        cancellationToken).ConfigureAwait(false);

    /// <summary>Runs work in a transaction, which is committed if it says so.</summary>
    private async Task<bool> InTransactionAsync(Func<TDbContext, Task<bool>> work, CancellationToken cancellationToken)
    {
        var scope = scopes.CreateAsyncScope();
        await using var disposing = scope.ConfigureAwait(false);
        var db = scope.ServiceProvider.GetRequiredService<TDbContext>();
        return await db.Database.CreateExecutionStrategy().ExecuteAsync(
            async token =>
            {
                // A strategy that tries again does so with a clean context.
                db.ChangeTracker.Clear();
                var transaction = await db.Database.BeginTransactionAsync(token).ConfigureAwait(false);
                await using var ending = transaction.ConfigureAwait(false);
                if (!await work(db).ConfigureAwait(false))
                    return false;
                await db.SaveChangesAsync(token).ConfigureAwait(false);
                await transaction.CommitAsync(token).ConfigureAwait(false);
                return true;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Moves the checkpoint if it is where the batch begins. Of two that make the row the first one wins; the other's insert fails, and is tried again.
    /// </summary>
    private async Task<bool> MoveAsync(TDbContext db, ProjectionBatch batch, CancellationToken cancellationToken)
    {
        var (after, next) = (batch.After.ToString(), batch.Checkpoint.ToString());
        var rows = Rows(db, batch.Generation);
        var moved = await rows.Where(row => row.Checkpoint == after)
            .ExecuteUpdateAsync(set => set.SetProperty(row => row.Checkpoint, next), cancellationToken).ConfigureAwait(false);
        if (moved > 0)
            return true;
        if (batch.After != ProjectionCheckpoint.Start || await rows.AnyAsync(cancellationToken).ConfigureAwait(false))
            return false;
        db.Add(new ProjectionRow(projection, batch.Generation, next));
        await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
        return true;
    }

    // IgnoreQueryFilters: applications that filter every entity, as by tenant, do not mean ours.
    private IQueryable<ProjectionRow> Rows(TDbContext db, int generation) => db.Set<ProjectionRow>().IgnoreQueryFilters().AsNoTracking()
        .Where(row => row.Projection == projection && row.Generation == generation);
}
