using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Millrace.EntityFrameworkCore;

/// <summary>Deletes from an inbox what is older than its window.</summary>
internal sealed class InboxCleaner<TDbContext>(InboxOptions options, IServiceScopeFactory scopes, TimeProvider time, ILogger logger) : BackgroundService
    where TDbContext : DbContext
{
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
                await scope.ServiceProvider.GetRequiredService<TDbContext>().Set<InboxRow>().IgnoreQueryFilters()
                    .Where(row => row.HandledAt < DateTime.UtcNow.AddSeconds(-seconds)).ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
#pragma warning restore RS0030
            }
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            // Rows that stay too long do no harm.
            LogMessages.CleaningFailed(logger, exception, typeof(TDbContext).Name);
        }
    }
}
