using System.Text.RegularExpressions;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Projections;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Tidy;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>The tables as the guides write them down, for applications without migrations.</summary>
public sealed partial class GuideSqlTests(SharedPostgres postgres) : IAsyncLifetime
{
    // What an index is called is up to who makes it.
    private const string Shape = """
        SELECT concat_ws(' ', table_name, column_name, data_type, character_maximum_length, is_nullable, column_default, identity_generation) AS "Value"
        FROM information_schema.columns WHERE table_name LIKE 'millrace%'
        UNION ALL
        SELECT regexp_replace(indexdef, 'INDEX \S+ ON', 'INDEX ON') FROM pg_indexes WHERE tablename LIKE 'millrace%'
        """;

    private readonly EmbeddedStreamStore _store = new(new());
    private TestDatabase? _database;

    public async ValueTask InitializeAsync() => _database = await TestDatabase.OnPostgresAsync(await postgres.StartedAsync());

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _database!.DisposeAsync();
    }

    [Fact]
    public async Task Tables_of_the_guides_are_those_of_the_model_and_outbox_inbox_and_projections_work_on_them()
    {
        await using var db = _database!.Open();
        var ofTheModel = await db.Database.SqlQueryRaw<string>(Shape).ToListAsync();
        await db.Database.ExecuteSqlRawAsync("DROP TABLE millrace_outbox, millrace_outbox_name, millrace_inbox, millrace_projections");
        foreach (var guide in new[] { "docs/guides/outbox.md", "docs/guides/projections.md" })
            await db.Database.ExecuteSqlRawAsync(string.Concat(SqlBlock().Matches(Repository.Read(guide)).Select(block => block.Groups[1].Value)));

        Assert.Equal(ofTheModel.Order(StringComparer.Ordinal), (await db.Database.SqlQueryRaw<string>(Shape).ToListAsync()).Order(StringComparer.Ordinal));

        await using var host = await HostAsync();
        for (var i = 0; i < 2; i++)
            await host.Publisher.PublishAsync("paid", new Paid(7), new() { MessageId = "m7" });
        await host.WhenSettledAsync("paid", "billing");
        await host.ReadAsync("placed");
        var projections = host.Host.Services.GetRequiredService<ProjectionControl>();
        await projections.WaitForAsync("totals", null, Eventually.Deadline);

        var totals = await projections.QueryAsync(
            "totals", (generation, token) => db.Totals.AsNoTracking().Where(row => row.Generation == generation).ToListAsync(token));
        Assert.Equal([7L], totals.Select(row => row.Sum));
        Assert.Equal((1, 1, 1), (await db.Orders.CountAsync(), await db.Inbox.CountAsync(), await db.Set<ProjectionRow>().CountAsync()));
        await Eventually.TrueAsync("the relay has deleted what it published", async () => !await db.Outbox.AnyAsync());
        Assert.Single(await _store.RangeAsync("placed", new()));
    }

    private Task<ConsumerHost> HostAsync() => ConsumerHost.StartAsync(
        millrace =>
        {
            millrace.Services.AddDbContext<ShopDb>(_database!.Configure);
            millrace.AddMessage<Placed>()
                .AddOutbox<ShopDb>(outbox => outbox.Name = "shop")
                .AddInboxConsumer<ShopDb, Paid>("paid", "billing", (paid, db, _, _) =>
                {
                    db.Orders.Add(new() { Name = $"{paid.Number}" });
                    db.Publish("placed", new Placed(paid.Number));
                    return Task.CompletedTask;
                })
                .AddDbProjection<ShopDb>(
                    "totals",
                    "placed",
                    async (batch, db, token) =>
                    {
                        foreach (var placed in batch.Events.Select(one => one.Event).OfType<Placed>())
                        {
                            var total = await db.Totals.FindAsync([batch.Generation, "all"], token) ??
                                db.Totals.Add(new() { Generation = batch.Generation, Stream = "all" }).Entity;
                            total.Sum += placed.Number;
                        }
                    },
                    (generation, db, token) => db.Totals.Where(row => row.Generation == generation).ExecuteDeleteAsync(token));
        },
        _store);

    [GeneratedRegex("```sql\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex SqlBlock();
}
