using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;
using Millrace.EventSourcing;
using Millrace.OutboxWorker;
using Millrace.Projections;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Clients;
using Millrace.Tests.EntityFrameworkCore;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Projections;

namespace Millrace.Tests.Redis;

/// <summary>
/// The clock of a server is set back by an hour while a document has a second to live. Redis keeps it for the hour, as its end is a time of day there; what
/// it holds up goes on all the same.
/// </summary>
public sealed class ServerClockSetBackTests
{
    private const string Category = "purse";

    private static readonly TimeSpan Back = TimeSpan.FromHours(-1);
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(1);

    public static TheoryData<string> Servers => [ServerOfKind.Redis, ServerOfKind.Millrace];

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Projection_is_taken_over_from_a_process_that_died(string name)
    {
        await using var server = await ChaosServer.StartAsync(name);
        await using var store = Store(server);
        await using var first = await ProjectAsync(store);
        await AppendAsync(first, 1);
        await first.AbortAsync();
        server.Jump(Back);

        await using var second = await ProjectAsync(store);
        await AppendAsync(second, 2);

        Assert.Equal(new Tally(3, 2), await second.Host.Services.GetRequiredService<ProjectionReader<Tally>>().GetAsync($"{Category}-1"));
    }

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Outbox_is_taken_over_from_a_relay_that_died(string name)
    {
        await using var server = await ChaosServer.StartAsync(name);
        await using var store = Store(server);
        await using var database = await TestDatabase.OnSqliteAsync();
        var dead = new RelayLease(store, new() { Name = "shop", Lease = Lease }, TimeProvider.System);
        Assert.True(await dead.TryTakeAsync(default));
        server.Jump(Back);

        await using var host = await ConsumerHost.StartAsync(
            millrace =>
            {
                millrace.Services.AddDbContext<ShopDb>(database.Configure);
                millrace.AddMessage<Placed>().AddOutbox<ShopDb>(outbox => (outbox.Name, outbox.Lease) = ("shop", Lease));
            },
            store);
        await using (var scope = host.Host.Services.CreateAsyncScope())
        {
            var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
            db.Publish("placed", new Placed(1));
            await db.SaveChangesAsync();
        }

        Assert.Single(await host.ReadAsync("placed"));
    }

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Retention_goes_on(string name)
    {
        await using var server = await ChaosServer.StartAsync(name);
        await using var store = Store(server);
        await using var host = await ConsumerHost.StartAsync(
            millrace => millrace
                .AddRetention("orders", retention => retention.MaxCount = 1)
                .Configure(options => options.RetentionInterval = TimeSpan.FromSeconds(1)),
            store);

        // The document of a run may just be over when the clock jumps, and nothing would be held up.
        for (var round = 0; round < 3; round++)
        {
            await store.AppendManyAsync("orders", [.. Enumerable.Repeat(EntryFields.Create(("type", "x")), 5)]);
            await Eventually.TrueAsync("the stream is trimmed", async () => (await store.GetStreamInfoAsync("orders"))!.Length == 1);
            server.Jump(Back);
        }
    }

    private static RedisStreamStore Store(ChaosServer server) => new(RedisOptions.Parse($"127.0.0.1:{server.Port}"));

    private static Task<ConsumerHost> ProjectAsync(IStreamStore store) => ConsumerHost.StartAsync(
        millrace => millrace
            .AddMessage<PointsEarned>()
            .AddMessage<PointsSpent>()
            .AddEventStore(options => options.AddCategory(Category))
            .AddProjection("tallies", Category, Tally.Folds, options => options.Lease = Lease),
        store);

    private static async Task AppendAsync(ConsumerHost host, int amount)
    {
        var appended = await host.Host.Services.GetRequiredService<EventStore>()
            .AppendAsync($"{Category}-1", ExpectedVersion.Any, [new PointsEarned(amount, "test")]);
        await host.Host.Services.GetRequiredService<ProjectionControl>().WaitForAsync("tallies", appended.Position, Eventually.Deadline);
    }
}
