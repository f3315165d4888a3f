using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// In a process that does not relay: tells the relays of others that it committed rows. After the commit, so that no transaction of the application waits
/// for it, and bursts are told once.
/// </summary>
internal sealed class OutboxNotifier<TDbContext>(OutboxSource source, IServiceScopeFactory scopes, TimeProvider time, ILogger logger) : BackgroundService
    where TDbContext : DbContext
{
    private readonly LogLimit _failures = new(time);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                await source.Signal.WaitAsync(stoppingToken).ConfigureAwait(false);
                await SendAsync(stoppingToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The host stops; relays find the last rows by themselves.
        }
    }

    private async Task SendAsync(CancellationToken stoppingToken)
    {
        try
        {
            var scope = scopes.CreateAsyncScope();
            await using (scope.ConfigureAwait(false))
                await source.Options.WakeUp!.SendAsync(scope.ServiceProvider.GetRequiredService<TDbContext>(), stoppingToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
        {
            // Relays poll besides, so that only time is lost.
            if (_failures.Allows())
                LogMessages.WakeUpFailed(logger, exception, source.Options.Name!);
        }
    }
}
