// One process of a chaos run: the consumers of ChaosWorkload until it is told to stop, killed, or left alone by its parent.
// Arguments: <Redis connection> <worker> <instance name> <history file> [<drain time in minutes>]. Says "ready" when it reads.
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
builder.Services.AddMillrace(millrace => new ChaosWorkload(worker, history, TimeProvider.System).AddTo(millrace
    .UseInstanceName(instance)
    .UseRedis(connection)));
if (args is [_, _, _, _, var minutes])
{
    var drain = TimeSpan.FromMinutes(int.Parse(minutes, CultureInfo.InvariantCulture));
    builder.Configuration["Millrace:DrainTimeout"] = drain.ToString();
    builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = 2 * drain);
}

builder.Services.AddSingleton<IHostLifetime, Microsoft.Extensions.Hosting.Internal.ConsoleLifetime>();
using var host = builder.Build();
await host.StartAsync();
_ = WatchForStallsAsync(host.Services.GetRequiredService<IStreamStore>());
Console.WriteLine("ready");
await host.WaitForShutdownAsync();
return 0;

// A process that gets no processor for a while, or no answers, may lose its leases: that explains a redelivery as a fault of ours does.
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
            history.Add(new(last, Happened.Fault) { Who = worker, UntilMs = history.NowMs, Detail = "Stall" });
    }
}
