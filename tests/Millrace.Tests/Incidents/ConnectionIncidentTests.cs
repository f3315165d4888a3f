using System.Globalization;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>What clients of Redis did when their line or their server broke. Each test has a server of its own.</summary>
public sealed class ConnectionIncidentTests : IAsyncLifetime
{
    private RedisServer? _server;

    private RedisServer Server => _server!;

    public async ValueTask InitializeAsync() => _server = await RedisServer.StartAsync();

    public ValueTask DisposeAsync() => Server.DisposeAsync();

    /// <summary>After a write that failed, callers got the replies to other callers' commands.</summary>
    [Fact]
    public async Task StackExchange_Redis_2919_no_reply_reaches_another_caller_however_often_the_line_breaks()
    {
        const int Documents = 50;
        await using var direct = StoreAt(Server.Port);
        var changes = Enumerable.Range(0, Documents)
            .Select(i => new CommitChange.PutState(new("orders", $"{i}"), Encoding.UTF8.GetBytes($"document {i}"))).ToList();
        await direct.CommitAsync(new Commit { Changes = changes });
        await using var proxy = CuttingProxy.Start(Server.Port);
        await using var store = StoreAt(proxy.Port);

        int read = 0, failed = 0;
        using var end = new CancellationTokenSource();
        var callers = Enumerable.Range(0, Documents).Select(ReadAsync).ToList();
        for (var cut = 1; cut <= 20; cut++)
        {
            var before = Volatile.Read(ref read);
            await Eventually.TrueAsync("callers are served", () => new(Volatile.Read(ref read) > before + Documents));
            proxy.Cut();
        }

        await end.CancelAsync();
        await Task.WhenAll(callers);
        Assert.True(failed > 0, "No cut hit a call.");

        async Task ReadAsync(int number)
        {
            while (!end.IsCancellationRequested)
            {
                try
                {
                    var document = await store.GetStateAsync(new("orders", $"{number}"), CancellationToken.None);
                    Assert.Equal($"document {number}", Encoding.UTF8.GetString(document!.Payload.Span));
                    Interlocked.Increment(ref read);
                }
                catch (StreamException exception) when (exception.IsTransient)
                {
                    Interlocked.Increment(ref failed);
                }
            }
        }
    }

    /// <summary>
    /// The server delivered entries to a line that was dead already. They stayed pending, and nobody asked for them before their idle time was
    /// over, if ever.
    /// </summary>
    [Fact]
    public async Task Redisson_3076_and_Asynq_1051_entries_delivered_to_a_dead_line_are_found_at_once()
    {
        await using var proxy = CuttingProxy.Start(Server.Port);
        await using var direct = StoreAt(Server.Port);
        await using var store = StoreAt(proxy.Port);
        await using var host = await StartAsync(store, TimeSpan.FromHours(1));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.ReadAsync("done");
        await host.WhenSettledAsync("orders", "billing");
        await Eventually.TrueAsync("it waits in its next read", async () =>
            (await Server.CliAsync("CLIENT", "LIST")).Split('\n').Any(line => line.Contains("flags=b ") && line.Contains("cmd=xreadgroup ")));

        _ = proxy.HoldRepliesAsync();
        await using (var publisher = await ConsumerHost.StartAsync(_ => { }, direct, instance: "publisher"))
            await publisher.Publisher.PublishAsync("orders", new OrderCreated("o2", 1));
        await Eventually.TrueAsync("it is delivered to the dead line", async () => (await direct.PendingSummaryAsync("orders", "billing")).Count == 1);
        proxy.Cut();

        await Eventually.TrueAsync("it is handled", async () => (await direct.GetStreamInfoAsync("done"))!.EntriesAdded == 2);
        await Eventually.TrueAsync("it is settled", async () => (await direct.PendingSummaryAsync("orders", "billing")).Count == 0);
    }

    /// <summary>After a server lost its data, each read failed for want of the group: 30 GB of logs in a day, and nothing was handled any more.</summary>
    [Fact]
    public async Task Dapr_4302_and_FastStream_2611_flush_heals_without_a_restart_and_without_a_storm_of_logs()
    {
        var warnings = new WarningCount();
        await using var store = StoreAt(Server.Port);
        await using var host = await StartAsync(store, TimeSpan.FromSeconds(30), warnings);
        for (var i = 0; i < 5; i++)
        {
            await Server.CliAsync("FLUSHALL");
            await host.Publisher.PublishAsync("orders", new OrderCreated($"o{i}", 1));
            await host.ReadAsync("done");
        }

        Assert.InRange(warnings.Count, 0, 50);
        Assert.InRange(await CallsAsync("xreadgroup"), 5, 200);
    }

    /// <summary>Every deployment left clients behind that nobody closed; in the end they kept whole machines busy.</summary>
    [Fact]
    public async Task Foundatio_539_stopped_process_leaves_no_connection_behind()
    {
        for (var i = 0; i < 3; i++)
        {
            await using var store = StoreAt(Server.Port);
            await using var host = await StartAsync(store, TimeSpan.FromSeconds(30));
            await host.Publisher.PublishAsync("orders", new OrderCreated($"o{i}", 1));
            await host.ReadAsync("done", i + 1);
            await host.StopAsync();
        }

        await Eventually.TrueAsync("all connections are closed", async () =>
            (await Server.CliAsync("CLIENT", "LIST")).Split('\n', StringSplitOptions.RemoveEmptyEntries) is [var cli] && cli.Contains("cmd=client"));
    }

    /// <summary>Publishers used the database that was configured, and listeners the first one.</summary>
    [Fact]
    public async Task Wolverine_2447_everything_happens_in_the_database_that_is_configured()
    {
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = Server.Port, Database = 3 });
        await using var host = await StartAsync(store, TimeSpan.FromSeconds(30));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.Publisher.PublishAsync("orders", new OrderCreated("o2", 1), new() { Delay = TimeSpan.FromMilliseconds(20) });
        await host.ReadAsync("done", 2);
        await host.WhenSettledAsync("orders", "billing");

        Assert.Equal("0", await Server.CliAsync("-n", "0", "DBSIZE"));
        Assert.NotEqual("0", await Server.CliAsync("-n", "3", "DBSIZE"));
    }

    private async Task<long> CallsAsync(string command)
    {
        var line = (await Server.CliAsync("INFO", "commandstats")).Split('\n').Single(line => line.StartsWith($"cmdstat_{command}:", StringComparison.Ordinal));
        return long.Parse(line.Split("calls=")[1].Split(',')[0], CultureInfo.InvariantCulture);
    }

    private static Task<ConsumerHost> StartAsync(RedisStreamStore store, TimeSpan lease, WarningCount? warnings = null) => ConsumerHost.StartAsync(
        m =>
        {
            if (warnings is not null)
                m.Services.AddSingleton<ILoggerProvider>(warnings);
            m.AddConsumer<OrderCreated>(
                "orders",
                "billing",
                (order, context, _) =>
                {
                    context.Publish("done", new OrderPaid(order.OrderId));
                    return Task.CompletedTask;
                },
                o => o.Lease = lease);
        },
        store);

    private static RedisStreamStore StoreAt(int port) => new(new()
    {
        Host = "127.0.0.1",
        Port = port,
        ReconnectDelay = TimeSpan.FromMilliseconds(10),
        MaxReconnectDelay = TimeSpan.FromMilliseconds(100),
        ConnectAttempts = 50,
    });
}
