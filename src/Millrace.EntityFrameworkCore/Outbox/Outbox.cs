using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Millrace.EntityFrameworkCore;

/// <summary>Looks after the outbox of a <c>DbContext</c>. A singleton, for any number of callers.</summary>
/// <typeparam name="TDbContext">The context.</typeparam>
public sealed class Outbox<TDbContext>
    where TDbContext : DbContext
{
    private readonly OutboxSource _source;
    private readonly IServiceScopeFactory _scopes;

    internal Outbox(OutboxSource source, IServiceScopeFactory scopes) => (_source, _scopes) = (source, scopes);

    /// <summary>Makes this process look for rows now, as after a commit that Entity Framework does not know of. Costs nothing here.</summary>
    public void Wake() => _source.Signal.Wake();

    /// <summary>Counts rows. Three queries of an index, which count the whole backlog.</summary>
    /// <param name="cancellationToken">Stops the waiting.</param>
    public async Task<OutboxStatus> GetStatusAsync(CancellationToken cancellationToken = default)
    {
        var scope = _scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
            return await TableOf(scope).GetStatusAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Puts all parked rows back among those that wait, under their old numbers, when what the store refused them for was put right. What was published
    /// under the same partition keys meanwhile stays before them. One update.
    /// </summary>
    /// <param name="cancellationToken">Stops the waiting; the rows may still be put back.</param>
    /// <returns>How many there were.</returns>
    public async Task<int> RetryParkedAsync(CancellationToken cancellationToken = default)
    {
        var scope = _scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
        {
            var count = await TableOf(scope).RetryParkedAsync(cancellationToken).ConfigureAwait(false);
            Wake();
            return count;
        }
    }

    private static OutboxTable TableOf(AsyncServiceScope scope) => new(scope.ServiceProvider.GetRequiredService<TDbContext>());
}
