using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Millrace.EntityFrameworkCore;

/// <summary>Deletes from an inbox what is older than its window.</summary>
internal sealed class InboxCleaner<TDbContext>(InboxOptions options, IServiceScopeFactory scopes, TimeProvider time, ILogger logger) : BackgroundService
    where TDbContext : DbContext
{
    // Small transactions: one for a table that was never cleaned would take longer than the database allows, and keep writers waiting.
    private const int Page = 1_000;

    private readonly LogLimit _failures = new(time);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.CleaningInterval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false))
                await CleanAsync(stoppingToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The host stops.
        }
    }

    private async Task CleanAsync(CancellationToken cancellationToken)
    {
        try
        {
            var scope = scopes.CreateAsyncScope();
            await using (scope.ConfigureAwait(false))
            {
                var seconds = options.Window.TotalSeconds;
#pragma warning disable RS0030 // Translated: the clock of the database wrote the rows. One of ours that jumps would make it forget.
                var old = scope.ServiceProvider.GetRequiredService<TDbContext>().Set<InboxRow>().IgnoreQueryFilters()
                    .Where(row => row.HandledAt < DateTime.UtcNow.AddSeconds(-seconds));
#pragma warning restore RS0030
                var mayBeMore = true;
                while (mayBeMore)
                    mayBeMore = await DeletePageAsync(old, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            // Rows that stay too long do no harm.
            if (_failures.Allows())
                LogMessages.CleaningFailed(logger, exception, typeof(TDbContext).Name);
        }
    }

    /// <summary>Deletes the oldest rows, and those of the same moment as the last of them.</summary>
    /// <returns>Whether there may be more.</returns>
    private static async Task<bool> DeletePageAsync(IQueryable<InboxRow> old, CancellationToken cancellationToken)
    {
        var last = await old.OrderBy(row => row.HandledAt).Skip(Page - 1).Select(row => (DateTime?)row.HandledAt)
            .FirstOrDefaultAsync(cancellationToken).ConfigureAwait(false);
        var page = last is { } moment ? old.Where(row => row.HandledAt <= moment) : old;
        return await page.ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false) > 0 && last is not null;
    }
}
