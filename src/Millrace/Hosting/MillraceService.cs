using System.Runtime.InteropServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Consuming;
using Millrace.Monitoring;
using Millrace.Recurring;
using Millrace.Registry;
using Millrace.Streams;

namespace Millrace.Hosting;

/// <summary>Opens the store before the application starts, runs the consumers while it does, and drains them before it stops.</summary>
internal sealed class MillraceService(IServiceProvider services) : IHostedLifecycleService, IDisposable
{
    private ConsumerWorker[] _workers = [];
    private readonly CancellationTokenSource _stopBackground = new();
    private readonly List<PosixSignalRegistration> _signals = [];
    private ConsumerPresence? _presence;
    private LaneDirectory? _lanes;
    private bool _exitsOnSecondSignal;
    private Task _running = Task.CompletedTask;
    private Task _background = Task.CompletedTask;

    /// <summary>How each consumer does; none before the start.</summary>
    public IEnumerable<WorkerStatus> Consumers => Workers.Select(static worker => worker.Status);

    /// <summary>What runs them; none before the start.</summary>
    public IReadOnlyList<ConsumerWorker> Workers => _workers;

    /// <summary>The streams whose lanes this process does not know all of, one sentence each.</summary>
    public IReadOnlyList<string> LanesMissed => _lanes?.Errors ?? [];

    /// <summary>Ends when every recurring message has its chain in the store.</summary>
    public Task RecurringBegun { get; private set; } = Task.CompletedTask;

    /// <summary>
    /// Fails here, with a clear error, when something is wrong in the model, the server is unreachable, the data directory is locked, or a stream
    /// has lanes that nobody here would read.
    /// </summary>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        var core = services.GetRequiredService<MillraceCore>();
        _exitsOnSecondSignal = core.Options.ExitOnSecondSignal;
        var store = services.GetRequiredService<IStreamStore>();
        await store.OpenAsync(cancellationToken).ConfigureAwait(false);
        _lanes = new(core, store, services.GetRequiredService<MillraceModel>().RunsConsumers, Loggers.CreateLogger("Millrace.Lanes"));
        await _lanes.BeginAsync(cancellationToken).ConfigureAwait(false);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Reads only now, so that the rest of the application is there when the first handler runs.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        var model = services.GetRequiredService<MillraceModel>();
        if (!model.RunsConsumers)
            return Task.CompletedTask;
        var core = services.GetRequiredService<MillraceCore>();
        var store = services.GetRequiredService<IStreamStore>();
        var loggers = Loggers;
        var logger = loggers.CreateLogger("Millrace.Consuming");
        if (core.HasRandomName && core.Groups.Count > 0)
            LogMessages.InstanceNameIsRandom(logger, core.Options.InstanceName!);
        var invoker = new HandlerInvoker(services);
        var control = services.GetRequiredService<ConsumerControl>();
        _workers = [.. core.Groups.Select(group =>
            new ConsumerWorker(core, store, group, control.Find(group.Stream, group.Group), invoker, logger))];
        _running = Task.WhenAll(_workers.Select(worker => Task.Run(() => RunAsync(worker), CancellationToken.None)));
        var sampler = new GroupSampler(core, store, loggers.CreateLogger("Millrace.Monitoring"));
        var starter = new RecurringStarter(core, model.Recurring, services.GetRequiredService<Publisher>(), logger);
        RecurringBegun = starter.Begun;
        _presence = new(core, store, _workers, logger);
        var retention = new RetentionLoop(core, store, services.GetRequiredService<Retention>(), loggers.CreateLogger("Millrace.Retention"));
        Func<CancellationToken, Task>[] loops = [sampler.RunAsync, starter.RunAsync, _presence.RunAsync, retention.RunAsync, _lanes!.RunAsync];
        _background = Task.WhenAll(loops.Select(loop => Task.Run(() => loop(_stopBackground.Token), CancellationToken.None)));
        return Task.CompletedTask;
    }

    /// <summary>
    /// Drains. A token that is cancelled already means that there is no time for it; one cancelled later cuts it short, and a signal ends it
    /// at once, and the stop of other services as well: the one that stopped the host came before this.
    /// </summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        foreach (var signal in (PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGQUIT, PosixSignal.SIGTERM])
            _signals.Add(PosixSignalRegistration.Create(signal, EndAtOnce));
        foreach (var worker in _workers)
        {
            if (cancellationToken.IsCancellationRequested)
                worker.Abort();
            else
                worker.Stop();
        }

        using (cancellationToken.UnsafeRegister(CutDrainShort, _workers))
            await _running.ConfigureAwait(false);
        await _stopBackground.CancelAsync().ConfigureAwait(false);
        await _background.ConfigureAwait(false);
        if (_presence is not null && !Array.Exists(_workers, static worker => worker.IsAborted))
            await _presence.LeaveAsync(cancellationToken).ConfigureAwait(false);
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
        _stopBackground.Cancel();
        foreach (var signal in _signals)
            signal.Dispose();
    }

    private ILoggerFactory Loggers => services.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance;

    /// <summary>
    /// Somebody presses Ctrl+C again. What runs is cancelled and stays pending, as after a kill, and so nothing is lost. The lifetime of the host keeps the
    /// signal from ending the process, and waits for whoever is slow to stop; so the process is ended here, with the code a shell gives to the signal.
    /// The signal may come while the host is disposed, when there are no services to ask any more.
    /// </summary>
    private void EndAtOnce(PosixSignalContext context)
    {
        foreach (var worker in _workers)
            worker.Abort();
        if (_exitsOnSecondSignal)
            Environment.Exit(128 + (context.Signal switch { PosixSignal.SIGINT => 2, PosixSignal.SIGQUIT => 3, _ => 15 }));
    }

    private static async Task RunAsync(ConsumerWorker worker)
    {
        try
        {
            await worker.RunAsync().ConfigureAwait(false);
        }
        finally
        {
            worker.Status.Ended();
        }
    }

    private static void CutDrainShort(object? workers)
    {
        foreach (var worker in (ConsumerWorker[])workers!)
            worker.CutDrainShort();
    }
}
