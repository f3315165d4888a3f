using Microsoft.EntityFrameworkCore;

// Translated to SQL: not our clock is read, but that of the database, which is one for all processes.
#pragma warning disable RS0030

namespace Millrace.EntityFrameworkCore;

/// <summary>Everything that is asked of the table of an outbox. Portable: no provider is named, and no lock outlives a statement.</summary>
internal sealed class OutboxTable(DbContext db)
{
    // What is read at once, with its copies on the way to the store, stays far below what a small machine has.
    private const int MaxPageBytes = 16 * 1024 * 1024;

    // A database takes only so many parameters: SQL Server 2,100.
    private const int MaxParameters = 1_000;

    // Deletions of kept rows are small transactions.
    private const int CleaningPage = 1_000;

    // IgnoreQueryFilters: applications that filter every entity, as by tenant, do not mean ours.
    private IQueryable<OutboxRow> Rows => db.Set<OutboxRow>().IgnoreQueryFilters();

    private IQueryable<OutboxNameRow> Names => db.Set<OutboxNameRow>().IgnoreQueryFilters().AsNoTracking();

    private IQueryable<OutboxRow> Waiting => Rows.Where(row => row.State == OutboxRowState.Waiting);

    /// <summary>Sees to it that the table has one name among all relays: the first of them writes its own. One query, as a rule.</summary>
    /// <exception cref="MillraceConfigurationException">It has another one.</exception>
    public async Task ClaimAsync(string name, CancellationToken cancellationToken)
    {
        var known = await FindNameAsync(cancellationToken).ConfigureAwait(false) ?? await WriteNameAsync(name, cancellationToken).ConfigureAwait(false);
        if (known == name)
            return;
        var table = db.Model.FindEntityType(typeof(OutboxNameRow))?.GetSchemaQualifiedTableName();
        throw new MillraceConfigurationException([
            $"Outbox of {db.GetType().Name}: Name is '{name}', but its table is relayed under '{known}', as {table} says: every row would be published " +
            $"twice. Set Name to '{known}'; or, to rename the outbox, stop all relays when nothing waits, and change {table}."]);
    }

    private Task<string?> FindNameAsync(CancellationToken cancellationToken) =>
        Names.Select(row => (string?)row.Name).FirstOrDefaultAsync(cancellationToken);

    /// <returns>The name there is now: that of another relay, if it was faster.</returns>
    private async Task<string> WriteNameAsync(string name, CancellationToken cancellationToken)
    {
        var entry = db.Add(new OutboxNameRow(name));
        try
        {
            await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
            return name;
        }
        catch (DbUpdateException)
        {
            // Providers name a duplicate key each in its own way; whether the row is there tells.
            if (await FindNameAsync(cancellationToken).ConfigureAwait(false) is { } known)
                return known;
            throw;
        }
        finally
        {
            entry.State = EntityState.Detached;
        }
    }

    /// <summary>
    /// Reads the first rows that wait. Rows are chosen by their state, never by the last number seen: a lower number may be committed after a higher one.
    /// </summary>
    public async Task<List<OutboxRow>> ReadAsync(
        int count, IReadOnlyCollection<long> withoutKeys, IReadOnlyCollection<string> withoutStreams, CancellationToken cancellationToken)
    {
        var waiting = Waiting.AsNoTracking();
        if (withoutKeys.Count > 0)
            waiting = waiting.Where(row => !withoutKeys.Contains(row.OrderKey));
        if (withoutStreams.Count > 0)
            waiting = waiting.Where(row => !withoutStreams.Contains(row.Stream));

        var page = new List<OutboxRow>();
        var bytes = 0;
        await foreach (var row in waiting.OrderBy(row => row.Id).Take(count).AsAsyncEnumerable().WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            bytes += row.Fields.Length;
            if (bytes > MaxPageBytes && page.Count > 0)
                break;
            page.Add(row);
        }

        return page;
    }

    /// <summary>
    /// Deletes rows that are in the store, or marks them so that they are kept. Rows that are settled already stay as they are; one that was parked meanwhile,
    /// by a relay that was refused it before, is in the store all the same.
    /// </summary>
    public async Task SettleAsync(IReadOnlyList<RelayedRow> rows, bool keep, CancellationToken cancellationToken)
    {
        foreach (var part in rows.Chunk(MaxParameters))
        {
            var ids = part.Select(row => row.Id).ToList();
            var tokens = part.Select(row => row.Token).ToList();
            var settled = Rows.Where(row => row.State != OutboxRowState.Relayed && ids.Contains(row.Id) && tokens.Contains(row.Token));
            if (keep)
            {
                await settled.ExecuteUpdateAsync(
                    set => set.SetProperty(row => row.State, OutboxRowState.Relayed).SetProperty(row => row.SettledAt, row => DateTime.UtcNow),
                    cancellationToken).ConfigureAwait(false);
            }
            else
            {
                await settled.ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The store refused a row.</summary>
    public Task RefuseAsync(RelayedRow refused, string error, bool park, CancellationToken cancellationToken)
    {
        var row = Waiting.Where(row => row.Id == refused.Id && row.Token == refused.Token);
        return park
            ? row.ExecuteUpdateAsync(
                set => set
                    .SetProperty(row => row.Attempts, row => row.Attempts + 1)
                    .SetProperty(row => row.Error, error)
                    .SetProperty(row => row.State, OutboxRowState.Parked)
                    .SetProperty(row => row.SettledAt, row => DateTime.UtcNow),
                cancellationToken)
            : row.ExecuteUpdateAsync(
                set => set.SetProperty(row => row.Attempts, row => row.Attempts + 1).SetProperty(row => row.Error, error), cancellationToken);
    }

    /// <summary>Puts parked rows back, with all their attempts before them.</summary>
    public Task<int> RetryParkedAsync(CancellationToken cancellationToken) => Rows.Where(row => row.State == OutboxRowState.Parked)
        .ExecuteUpdateAsync(
            set => set
                .SetProperty(row => row.State, OutboxRowState.Waiting)
                .SetProperty(row => row.SettledAt, (DateTime?)null)
                .SetProperty(row => row.Attempts, 0),
            cancellationToken);

    /// <summary>Deletes rows that were relayed longer ago. They were so in about the order of their numbers, so that the first ones tell when to
    /// stop.</summary>
    public async Task CleanAsync(TimeSpan keep, CancellationToken cancellationToken)
    {
        var seconds = keep.TotalSeconds;
        while (true)
        {
            var page = await Rows.Where(row => row.State == OutboxRowState.Relayed).OrderBy(row => row.Id).Take(CleaningPage)
                .Where(row => row.SettledAt < DateTime.UtcNow.AddSeconds(-seconds)).Select(row => row.Id)
                .ToListAsync(cancellationToken).ConfigureAwait(false);
            if (page.Count > 0)
                await Rows.Where(row => page.Contains(row.Id)).ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
            if (page.Count < CleaningPage)
                return;
        }
    }

    /// <summary>Counts what waits and what is parked.</summary>
    public async Task<OutboxStatus> GetStatusAsync(CancellationToken cancellationToken)
    {
        var waiting = await Waiting.LongCountAsync(cancellationToken).ConfigureAwait(false);
        var parked = await Rows.LongCountAsync(row => row.State == OutboxRowState.Parked, cancellationToken).ConfigureAwait(false);

        // The first number is the oldest, or next to it: transactions that overlap.
        var oldest = await Waiting.OrderBy(row => row.Id).Select(row => new { row.CreatedAt, Now = DateTime.UtcNow })
            .FirstOrDefaultAsync(cancellationToken).ConfigureAwait(false);
        var age = oldest is null ? TimeSpan.Zero : oldest.Now - oldest.CreatedAt;
        return new(waiting, parked, age > TimeSpan.Zero ? age : TimeSpan.Zero);
    }
}
