using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Streams;

namespace Millrace.Hosting;

/// <summary>Opens the store before the application starts, runs the consumers while it does, and drains them before it stops.</summary>
internal sealed class MillraceService(IServiceProvider services) : IHostedLifecycleService
{
    /// <summary>Fails here, with a clear error, when something is wrong in the model, the server is unreachable or the data directory is locked.</summary>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        services.GetRequiredService<MillraceCore>();
        await services.GetRequiredService<IStreamStore>().OpenAsync(cancellationToken).ConfigureAwait(false);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
