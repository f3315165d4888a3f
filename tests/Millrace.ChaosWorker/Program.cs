// One process of a chaos run: the consumers of ChaosWorkload until it is told to stop, killed, or left alone by its parent.
// Arguments: <Redis connection> <worker> <instance name> <history file> [<drain time in minutes> [dispose|drain]]. Says "ready" when it reads.
// With a drain time the process is slow to stop, or to be disposed; with "drain" a second signal only cuts the drain short.
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace;
using Millrace.ChaosWorker;
using Millrace.Redis;
using Millrace.Streams;

var (connection, worker, instance, path) = (args[0], args[1], args[2], args[3]);
using var history = new FileHistory(path);

// The parent holds our input open; when it is gone, so are we.
_ = Task.Run(() =>
{
    Console.In.ReadToEnd();
    Environment.Exit(1);
});
var builder = Host.CreateEmptyApplicationBuilder(new() { ApplicationName = "chaos" });
using var log = new HistoryLog(worker, history);
builder.Logging.AddProvider(log).SetMinimumLevel(LogLevel.Debug);
builder.Services.AddMillrace(millrace => new ChaosWorkload(worker, history, TimeProvider.System, Die).AddTo(millrace
    .UseInstanceName(instance)
    .UseStore(services =>
    {
        var store = new RedisStreamStore(RedisOptions.Parse(connection), null, services.GetRequiredService<ILogger<RedisStreamStore>>());
        return TimedStore.Wrap(RecordingStore.Wrap(store, worker, history), history, NoteStall);
    })));
if (args is [_, _, _, _, var minutes, .. var slowTo])
{
    var drain = TimeSpan.FromMinutes(int.Parse(minutes, CultureInfo.InvariantCulture));
    builder.Configuration["Millrace:DrainTimeout"] = drain.ToString();
    builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = 2 * drain);
    if (slowTo is ["dispose"])
        builder.Services.AddSingleton(_ => new SlowToDispose(drain));
    else
        builder.Services.AddHostedService(_ => new SlowToStop(drain));
    if (slowTo is ["drain"])
        builder.Configuration["Millrace:ExitOnSecondSignal"] = "false";
}

builder.Services.AddSingleton<IHostLifetime, Microsoft.Extensions.Hosting.Internal.ConsoleLifetime>();
using var losses = CountLosses();
using var host = builder.Build();
host.Services.GetRequiredService<StreamLosses>().Detected += (_, loss) => history.Add(new(history.NowMs, Happened.Loss)
{
    Who = worker,
    Group = loss.Group,
    Stream = loss.Stream,
    Detail = loss.Kind.ToString(),
    MissingAfter = loss.MissingAfter.ToString(),
    MissingThrough = loss.MissingThrough.ToString(),
    MissingCount = loss.MissingCount,
    MissingRetries = loss.MissingRetries,
});
await host.StartAsync();
host.Services.GetService<SlowToDispose>(); // Made last, disposed first.
_ = WatchForStallsAsync(host.Services.GetRequiredService<IStreamStore>());
Console.WriteLine("ready");
await host.WaitForShutdownAsync();
return 0;

void Die()
{
    var now = history.NowMs;
    history.Add(new(now, Happened.Fault) { Who = worker, UntilMs = now, Detail = "Killer" });
    Process.GetCurrentProcess().Kill();
}

// A process that gets no processor for a while, or no answers, may lose its leases: that explains a redelivery as a fault of ours does.
void NoteStall(double begun) => history.Add(new(begun, Happened.Fault) { Who = worker, UntilMs = history.NowMs, Detail = "Stall" });

async Task WatchForStallsAsync(IStreamStore store)
{
    using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
    for (var last = history.NowMs; await timer.WaitForNextTickAsync(); last = history.NowMs)
    {
        try
        {
            await store.GetStreamInfoAsync(ChaosWorkload.Jobs);
        }
        catch (StreamException)
        {
            // The store is away, which is noted as what it is.
        }

        if (history.NowMs - last > ChaosWorkload.StallMs)
            NoteStall(last);
    }
}

MeterListener CountLosses()
{
    var listener = new MeterListener
    {
        InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name == "millrace.losses")
                listener.EnableMeasurementEvents(instrument);
        },
    };
    listener.SetMeasurementEventCallback<long>((_, _, tags, _) =>
    {
        var group = "";
        foreach (var (name, value) in tags)
            group = name == "messaging.consumer.group.name" ? (string)value! : group;
        history.Add(new(history.NowMs, Happened.LossCounted) { Who = worker, Group = group });
    });
    listener.Start();
    return listener;
}

/// <summary>A service of the application that takes its time to stop.</summary>
internal sealed class SlowToStop(TimeSpan time) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken)
    {
        Console.WriteLine("stopping");
        return Task.Delay(time, TimeProvider.System, cancellationToken);
    }
}

/// <summary>A service of the application that takes its time to be disposed, as a store on a slow device may.</summary>
internal sealed class SlowToDispose(TimeSpan time) : IAsyncDisposable
{
    public async ValueTask DisposeAsync()
    {
        Console.WriteLine("disposing");
        await Task.Delay(time, TimeProvider.System);
    }
}
