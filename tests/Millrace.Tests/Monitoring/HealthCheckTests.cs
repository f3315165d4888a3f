using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.Embedded;
using Millrace.Embedded.Storage;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;
using Millrace.Tests.Shop;

namespace Millrace.Tests.Monitoring;

public sealed class HealthCheckTests
{
    [Fact]
    public async Task Host_whose_consumers_read_is_healthy_and_names_them()
    {
        await using var host = await StartAsync(null);

        var report = await ReportWhenAsync(host, static report => report.Status == HealthStatus.Healthy);

        Assert.Equal(["millrace", "millrace-consumers", "millrace-store"], report.Entries.Keys.Order(StringComparer.Ordinal));
        Assert.StartsWith("reading since ", (string)report.Entries["millrace-consumers"].Data["orders/billing"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Liveness_and_readiness_have_tags_of_their_own()
    {
        await using var host = await StartAsync(null);

        var report = await ReportAsync(host);

        Assert.Equal(["live"], report.Entries["millrace"].Tags);
        Assert.Equal(["ready"], report.Entries["millrace-store"].Tags);
        Assert.Equal(["ready"], report.Entries["millrace-consumers"].Tags);
    }

    [Fact]
    public async Task Server_that_is_away_is_unready_and_alive_until_it_is_back()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        await using var host = await StartAsync(store);
        await ReportWhenAsync(host, static report => report.Status == HealthStatus.Healthy);

        await server.KillAsync();
        var report = await ReportWhenAsync(host, static report => report.Entries["millrace-store"].Status == HealthStatus.Unhealthy &&
            report.Entries["millrace-consumers"].Status == HealthStatus.Degraded);
        Assert.Equal(HealthStatus.Healthy, report.Entries["millrace"].Status);
        Assert.StartsWith("failing since ", (string)report.Entries["millrace-consumers"].Data["orders/billing"], StringComparison.Ordinal);

        await server.StartAgainAsync();
        await ReportWhenAsync(host, static report => report.Status == HealthStatus.Healthy);
    }

    [Fact]
    public async Task Full_disk_is_unready_with_its_message_and_alive()
    {
        var time = new ManualTimeProvider();
        using var directory = new JournalDirectory();
        var device = new FaultDevice(directory.Path);
        await using var store = OpenStore(device, time);
        await using var host = await StartAsync(store, time);
        await ReportWhenAsync(host, static report => report.Status == HealthStatus.Healthy);

        device.Fault = static (call, _) => call == "Write" ? new StorageFullException("No space left on device") : null;
        await Assert.ThrowsAsync<StreamException>(async () => await store.AppendAsync("s", EntryFields.Create(("a", "b"))));
        var report = await ReportAsync(host);

        Assert.Equal(HealthStatus.Unhealthy, report.Entries["millrace-store"].Status);
        Assert.Equal("No space left on device", report.Entries["millrace-store"].Description);
        Assert.Equal("DiskFull", report.Entries["millrace-store"].Data["state"]);
        Assert.Equal(HealthStatus.Healthy, report.Entries["millrace"].Status);

        device.Fault = static (_, _) => null;
        await Eventually.TrueAsync("there is room, and that a write of the host was refused is long ago", async () =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return (await ReportAsync(host)).Entries["millrace-store"].Status == HealthStatus.Healthy;
        });
    }

    [Fact]
    public async Task Full_memory_is_unready_with_its_message_and_alive()
    {
        await using var store = new EmbeddedStreamStore(new() { MaxMemoryBytes = 100_000 });
        await using var host = await StartAsync(store);
        await ReportWhenAsync(host, static report => report.Status == HealthStatus.Healthy);

        var entry = EntryFields.Create(("v", new('x', 10_000)));
        while (await Record.ExceptionAsync(async () => await store.AppendAsync("s", entry)) is null)
            continue;
        var report = await ReportAsync(host);

        Assert.Equal(HealthStatus.Unhealthy, report.Entries["millrace-store"].Status);
        Assert.Equal("MemoryFull", report.Entries["millrace-store"].Data["state"]);
        Assert.Contains("100000", report.Entries["millrace-store"].Description, StringComparison.Ordinal);
        Assert.Equal(HealthStatus.Healthy, report.Entries["millrace"].Status);

        await store.DeleteStreamAsync("s");
        await ReportWhenAsync(host, static report => report.Entries["millrace-store"].Status == HealthStatus.Healthy);
    }

    [Fact]
    public async Task Publishers_that_wait_for_memory_are_no_failure_until_one_gets_none()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new() { MaxMemoryBytes = 100_000, WhenFull = WhenFull.Wait }, time);
        await using var host = await StartAsync(store, time);
        await ReportWhenAsync(host, static report => report.Status == HealthStatus.Healthy);

        var entry = EntryFields.Create(("v", new('x', 10_000)));
        var filling = Task.CompletedTask;
        while (store.Health.State == StoreState.Writable && filling.IsCompleted)
            filling = store.AppendAsync("s", entry).AsTask(); // The last one may wait: the host writes, too.
        var waiting = host.Publisher.PublishAsync("s", new OrderCreated("o1", 1)).AsTask();
        var report = (await ReportAsync(host)).Entries["millrace-store"];
        Assert.Equal((HealthStatus.Degraded, "PublishersWait"), (report.Status, report.Data["state"]));

        time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(StreamErrorCode.OutOfMemory, (await Assert.ThrowsAsync<StreamException>(() => waiting)).Code);
        await ((Task)filling).ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        Assert.Equal(HealthStatus.Unhealthy, (await ReportAsync(host)).Entries["millrace-store"].Status);

        await store.DeleteStreamAsync("s");
        time.Advance(TimeSpan.FromSeconds(30));
        await ReportWhenAsync(host, static report => report.Entries["millrace-store"].Status == HealthStatus.Healthy);
    }

    [Theory]
    [InlineData("OutOfMemory", "CONFIG", "SET", "maxmemory", "1")]
    [InlineData("ReadOnly", "REPLICAOF", "127.0.0.1", "1")]
    public async Task Server_that_answers_and_takes_no_writes_is_unready_for_as_long_as_it_refuses_them(string code, params string[] fault)
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        var time = new ManualTimeProvider();
        var goOn = new TaskCompletionSource();
        var started = new TaskCompletionSource();
        await using var host = await ConsumerHost.StartAsync(
            m =>
            {
                m.Services.AddHealthChecks().AddMillrace();
                m.AddMessage<OrderPaid>().AddConsumer<OrderCreated>("orders", "billing", async (_, context, _) =>
                {
                    started.SetResult();
                    await goOn.Task;
                    context.Publish("done", new OrderPaid("o1"));
                });
            },
            store,
            time);
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await started.Task.WaitAsync(Eventually.Deadline);
        Assert.Equal(HealthStatus.Healthy, (await ReportAsync(host)).Entries["millrace-store"].Status);

        await server.CliAsync(fault);
        goOn.SetResult();
        var report = await ReportWhenAsync(host, static report => report.Entries["millrace-store"].Status == HealthStatus.Unhealthy);
        Assert.Equal(code, report.Entries["millrace-store"].Data["code"]);

        await server.CliAsync(fault[0] == "CONFIG" ? ["CONFIG", "SET", "maxmemory", "0"] : ["REPLICAOF", "NO", "ONE"]);
        await Eventually.TrueAsync("the settlement goes through, and is forgotten", async () =>
        {
            time.Advance(TimeSpan.FromSeconds(6));
            return (await ReportAsync(host)).Entries["millrace-store"].Status == HealthStatus.Healthy;
        });
        await host.ReadAsync("done");
    }

    [Fact]
    public async Task Server_that_refuses_the_commits_of_a_publisher_is_unready()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        await using var host = await ConsumerHost.StartAsync(static m => m.AddMessage<OrderPaid>().Services.AddHealthChecks().AddMillrace(), store);
        await ReportWhenAsync(host, static report => report.Entries["millrace-store"].Status == HealthStatus.Healthy);
        await server.CliAsync("CONFIG", "SET", "maxmemory", "1");
        var commit = host.Publisher.NewCommit("orders");
        commit.Publish("orders", new OrderPaid("o1"));

        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await commit.CommitAsync());

        Assert.Equal(StreamErrorCode.OutOfMemory, refusal.Code);
        var report = (await ReportAsync(host)).Entries["millrace-store"];
        Assert.Equal((HealthStatus.Unhealthy, (object)"OutOfMemory"), (report.Status, report.Data["code"]));
    }

    /// <summary>A process that only publishes has no stream it could ask for, and its user may have rights to no other.</summary>
    [Fact]
    public async Task Publisher_with_rights_to_its_streams_only_is_healthy_as_long_as_it_may_connect()
    {
        await using var server = await RedisServer.StartAsync();
        await server.CliAsync("ACL", "SETUSER", "shop", "on", ">secret", "~orders*", "+@all");
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port, User = "shop", Password = "secret" });
        await using var host = await ConsumerHost.StartAsync(static m => m.AddMessage<OrderPaid>().Services.AddHealthChecks().AddMillrace(), store);
        await host.Publisher.PublishAsync("orders", new OrderPaid("o1"));
        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await store.GetStreamInfoAsync("others"));
        Assert.Equal(StreamErrorCode.PermissionDenied, refusal.Code);

        Assert.Equal(HealthStatus.Healthy, (await ReportAsync(host)).Entries["millrace-store"].Status);

        await server.CliAsync("ACL", "SETUSER", "shop", "-script");
        await server.CliAsync("CLIENT", "KILL", "USER", "shop");
        var report = await ReportWhenAsync(host, static report => report.Entries["millrace-store"].Status == HealthStatus.Unhealthy);
        Assert.Equal("PermissionDenied", report.Entries["millrace-store"].Data["code"]);

        await server.CliAsync("ACL", "SETUSER", "shop", "+script");
        await ReportWhenAsync(host, static report => report.Entries["millrace-store"].Status == HealthStatus.Healthy);
    }

    [Fact]
    public async Task Failed_disk_is_not_alive()
    {
        using var directory = new JournalDirectory();
        var device = new FaultDevice(directory.Path);
        await using var store = OpenStore(device, TimeProvider.System);
        await using var host = await StartAsync(store);
        await ReportWhenAsync(host, static report => report.Status == HealthStatus.Healthy);

        device.Fault = static (call, _) => call == "Write" ? new IOException("Input/output error") : null;
        await Assert.ThrowsAsync<StreamException>(async () => await store.AppendAsync("s", EntryFields.Create(("a", "b"))));
        var report = await ReportAsync(host);

        Assert.Equal(HealthStatus.Unhealthy, report.Entries["millrace"].Status);
        Assert.Equal(HealthStatus.Unhealthy, report.Entries["millrace-store"].Status);
    }

    [Fact]
    public async Task Failing_consumer_says_since_when_it_has_not_read()
    {
        var time = new ManualTimeProvider();
        var started = time.GetUtcNow();
        await using var store = new EmbeddedStreamStore(new(), time);
        var faulty = FaultyStore.Wrap(
            store, static member => member == nameof(IStreamStore.ReadGroupAsync) ? FaultyStore.Fault.Before : FaultyStore.Fault.None);
        await using var host = await StartAsync(faulty, time);

        for (var i = 0; i < 5; i++)
        {
            await ReportWhenAsync(host, report => report.Entries["millrace-consumers"].Status == HealthStatus.Degraded &&
                ((string)report.Entries["millrace-consumers"].Data["orders/billing"]).StartsWith(
                    $"failing since {started:yyyy-MM-ddTHH:mm:ssZ}: Unavailable: ", StringComparison.Ordinal));
            time.Advance(TimeSpan.FromSeconds(30));
        }
    }

    [Fact]
    public async Task Shop_tells_its_health()
    {
        using var directory = new ShopDirectory();
        await using var shop = await ShopProcess.OpenAsync(directory.Path, "--data", directory.Data);
        using var client = new ShopClient(shop.Address);

        await Eventually.TrueAsync(
            "the shop is healthy", async () => (await client.GetAsync("/health")).GetProperty("status").GetString() == "Healthy");
        var ready = (await client.GetAsync("/health/ready")).GetProperty("checks");
        var live = (await client.GetAsync("/health/live")).GetProperty("checks");

        Assert.Equal(
            ["millrace-consumers", "millrace-outbox", "millrace-store"],
            ready.EnumerateObject().Select(static check => check.Name).Order(StringComparer.Ordinal));
        Assert.Equal(["millrace"], live.EnumerateObject().Select(static check => check.Name));
        Assert.StartsWith(
            "reading since ",
            ready.GetProperty("millrace-consumers").GetProperty("data").GetProperty("orders/payments").GetString(),
            StringComparison.Ordinal);
    }

    private static EmbeddedStreamStore OpenStore(FaultDevice device, TimeProvider time) => new(new(), time, logger: null, () => device);

    private static Task<ConsumerHost> StartAsync(IStreamStore? store, TimeProvider? time = null) => ConsumerHost.StartAsync(
        static m =>
        {
            m.Services.AddHealthChecks().AddMillrace();
            m.AddConsumer<OrderCreated>("orders", "billing", static (_, _, _) => Task.CompletedTask);
        },
        store,
        time);

    private static Task<HealthReport> ReportAsync(ConsumerHost host) =>
        host.Host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync();

    private static async Task<HealthReport> ReportWhenAsync(ConsumerHost host, Func<HealthReport, bool> isWanted)
    {
        HealthReport? report = null;
        await Eventually.TrueAsync("the report says so", async () => isWanted(report = await ReportAsync(host)));
        return report!;
    }
}
