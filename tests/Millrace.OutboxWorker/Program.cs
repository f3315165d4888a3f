// A process that writes rows and relays them until it is killed. It consumes what it published, with an inbox, so that outbox and inbox die together.
// Arguments: <PostgreSQL connection> <Redis endpoint> <stream> <instance> <first number>. Says "ready" when it works.
// Or: "legacy" <PostgreSQL connection>, see LegacyTimestamps.
using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace;
using Millrace.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Redis;

if (args is ["legacy", var empty])
{
    await LegacyTimestamps.RunAsync(empty);
    return;
}

var (database, redis, stream, instance, number) = (args[0], args[1], args[2], args[3], int.Parse(args[4], CultureInfo.InvariantCulture));

// The parent holds our input open; when it is gone, so are we.
_ = Task.Run(() =>
{
    Console.In.ReadToEnd();
    Environment.Exit(1);
});
var builder = Host.CreateEmptyApplicationBuilder(new() { ApplicationName = "outbox" });
builder.Services.AddMillrace(millrace => Workload.AddTo(millrace, database, stream).UseRedis(redis).UseInstanceName(instance));
using var host = builder.Build();
await host.StartAsync();
Console.WriteLine("ready");
while (true)
    await Workload.WriteAsync(host.Services, stream, number++);
