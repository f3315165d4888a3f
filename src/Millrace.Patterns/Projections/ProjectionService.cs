using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>Runs the projections while the application does.</summary>
internal sealed class ProjectionService(
    ProjectionControl control,
    ProjectionMeter meter,
    IStreamStore store,
    PriorityLanes lanes,
    MessageCodec codec,
    TimeProvider time,
    ILogger<ProjectionService> logger)
    : IHostedLifecycleService, IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;

    // Whether a stop gives the leases up; without one they are left, as by a killed process.
    private volatile bool _releases;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Folds only now, so that the rest of the application is there when a target is called.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        _running = Task.WhenAll(control.Runtimes.Where(static one => one.Definition.Options.RunsHere).Select(one => Task.Run(
            () => new ProjectionWorker(one, store, lanes, codec, time, meter, logger).RunAsync(_stop.Token, () => _releases), CancellationToken.None)));
        return Task.CompletedTask;
    }

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        _releases = !cancellationToken.IsCancellationRequested;
        await _stop.CancelAsync().ConfigureAwait(false);

        // A target that does not heed its token must not keep the rest of the application from stopping; its lease ends by itself.
        await _running.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _releases &= _running.IsCompleted;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>A host that was never stopped must not leave workers behind.</summary>
    public void Dispose() => _stop.Cancel();
}
