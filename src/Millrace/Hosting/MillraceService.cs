using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Consuming;
using Millrace.Streams;

namespace Millrace.Hosting;

/// <summary>Opens the store before the application starts, runs the consumers while it does, and drains them before it stops.</summary>
internal sealed class MillraceService(IServiceProvider services) : IHostedLifecycleService, IDisposable
{
    private ConsumerWorker[] _workers = [];
    private Task _running = Task.CompletedTask;

    /// <summary>
    /// Fails here, with a clear error, when something is wrong in the model, the server is unreachable or the data directory is locked.
    /// </summary>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        services.GetRequiredService<MillraceCore>();
        await services.GetRequiredService<IStreamStore>().OpenAsync(cancellationToken).ConfigureAwait(false);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Reads only now, so that the rest of the application is there when the first handler runs.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        var core = services.GetRequiredService<MillraceCore>();
        var store = services.GetRequiredService<IStreamStore>();
        var logger = (services.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance).CreateLogger("Millrace.Consuming");
        var invoker = new HandlerInvoker(services);
        _workers = [.. core.Groups.Select(group => new ConsumerWorker(core, store, group, invoker, logger))];
        _running = Task.WhenAll(_workers.Select(worker => Task.Run(worker.RunAsync, CancellationToken.None)));
        return Task.CompletedTask;
    }

    /// <summary>Drains. A token that is cancelled already means that there is no time for it; one cancelled later cuts it short.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        foreach (var worker in _workers)
        {
            if (cancellationToken.IsCancellationRequested)
                worker.Abort();
            else
                worker.Stop();
        }

        using (cancellationToken.UnsafeRegister(CutDrainShort, _workers))
            await _running.ConfigureAwait(false);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>
    /// A host that is disposed without having been stopped, or whose start failed after ours, must not leave workers behind: with a store
    /// that outlives it they would go on reading, and fail every message for want of services.
    /// </summary>
    public void Dispose()
    {
        foreach (var worker in _workers)
            worker.Abort();
    }

    private static void CutDrainShort(object? workers)
    {
        foreach (var worker in (ConsumerWorker[])workers!)
            worker.CutDrainShort();
    }
}
