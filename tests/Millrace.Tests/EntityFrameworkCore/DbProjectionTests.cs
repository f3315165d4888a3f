using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EntityFrameworkCore;
using Millrace.EventSourcing;
using Millrace.OutboxWorker;
using Millrace.Projections;
using Millrace.Streams;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>A read model in a database, whose checkpoint is in its own transactions.</summary>
/// <param name="openDatabase">Makes the database.</param>
public abstract class DbProjectionTests(Func<Task<TestDatabase>> openDatabase) : IAsyncLifetime
{
    private const string Name = "totals";

    private readonly List<ConsumerHost> _hosts = [];
    private readonly EmbeddedStreamStore _store = new(new());
    private TestDatabase? _database;

    public sealed class OnSqlite() : DbProjectionTests(TestDatabase.OnSqliteAsync);

    public sealed class OnPostgres(SharedPostgres postgres) : DbProjectionTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()));

    private static TimeSpan Long => Eventually.Deadline;

    public async ValueTask InitializeAsync() => _database = await openDatabase();

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
            await host.DisposeAsync();
        await _store.DisposeAsync();
        await _database!.DisposeAsync();
    }

    /// <summary>The fold refuses an event that comes twice or too early.</summary>
    [Fact]
    public async Task Rows_are_the_fold_of_the_events_through_failures_kills_and_a_rebuild()
    {
        var folds = 0;
        Task FailSometimes() => Interlocked.Increment(ref folds) % 4 == 0 ? throw new TimeoutException("The database is away.") : Task.CompletedTask;
        var first = await HostAsync(FailSometimes);
        for (var i = 0; i < 60; i++)
            await AppendAsync(first, i % 3, i);
        await AtLeastAsync(20);
        await first.AbortAsync();
        var second = await HostAsync(FailSometimes);
        for (var i = 60; i < 90; i++)
            await AppendAsync(second, i % 3, i);
        await ControlOf(second).WaitForAsync(Name, null, Long);
        var generation = (await ControlOf(second).GetAsync(Name)).Generation;
        await CheckAsync(generation);

        await ControlOf(second).RebuildAsync(Name);
        await Eventually.TrueAsync("the second generation serves queries", async () => (await ControlOf(second).GetAsync(Name)).Generation == generation + 1);
        await CheckAsync(generation + 1);
        await Eventually.TrueAsync("the first generation is gone", async () =>
        {
            await using var db = _database!.Open();
            return !await db.Totals.AnyAsync(row => row.Generation == generation) && await db.Set<ProjectionRow>().CountAsync() == 1;
        });
    }

    /// <summary>A process that was thought dead saves a batch after another one has saved it.</summary>
    [Fact]
    public async Task Batch_that_another_process_has_saved_changes_nothing()
    {
        using var held = new SemaphoreSlim(0);
        var isHeld = 0;
        var first = await HostAsync(
            async () =>
            {
                if (Interlocked.Exchange(ref isHeld, 1) == 0)
                    await held.WaitAsync(Long);
            },
            isBeforeTransaction: true,
            lease: TimeSpan.FromHours(1));
        await AppendAsync(first, 1, 5);
        await Eventually.TrueAsync("the first process hangs", () => new(Volatile.Read(ref isHeld) == 1));
        var second = await HostAsync(() => Task.CompletedTask);

        // As if an hour had passed.
        await _store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(new("points", $"millrace/projection/{Name}/pulse"))] });
        await ControlOf(second).WaitForAsync(Name, null, Long);
        held.Release();
        await Eventually.TrueAsync("the first process stands by", () => new(ControlOf(first).Local[0].State == ProjectionState.StandingBy));

        await CheckAsync((await ControlOf(second).GetAsync(Name)).Generation);
    }

    private static ProjectionControl ControlOf(ConsumerHost host) => host.Host.Services.GetRequiredService<ProjectionControl>();

    private static async Task AppendAsync(ConsumerHost host, int aggregate, int amount) => await host.Host.Services.GetRequiredService<EventStore>()
        .AppendAsync($"points-{aggregate}", ExpectedVersion.Any, [new PointsEarned(amount, "test")]);

    private static async Task FoldAsync(ProjectionBatch batch, ShopDb db, CancellationToken cancellationToken)
    {
        foreach (var one in batch.Events)
        {
            var total = await db.Totals.FindAsync([batch.Generation, one.Stream], cancellationToken) ??
                db.Totals.Add(new() { Generation = batch.Generation, Stream = one.Stream }).Entity;
            if (one.Version != total.Version + 1)
                throw new ProjectionEventException(one, new InvalidOperationException($"{one.Version} comes after {total.Version}."));
            (total.Sum, total.Version) = (total.Sum + ((PointsEarned)one.Event).Amount, one.Version);
        }
    }

    private Task AtLeastAsync(int events) => Eventually.TrueAsync($"{events} events are folded", async () =>
    {
        await using var db = _database!.Open();
        return await db.Totals.SumAsync(row => row.Version) >= events;
    });

    private async Task CheckAsync(int generation)
    {
        await using var db = _database!.Open();
        var rows = await db.Totals.Where(row => row.Generation == generation).ToDictionaryAsync(row => row.Stream, row => (row.Sum, row.Version));
        var events = await _hosts[^1].Host.Services.GetRequiredService<EventStore>().ReadCategoryAsync("points").ToListAsync();
        var expected = events.GroupBy(one => one.Stream)
            .ToDictionary(stream => stream.Key, stream => (stream.Sum(one => (long)((PointsEarned)one.Event).Amount), (long)stream.Count()));
        Assert.Equal(expected.OrderBy(one => one.Key, StringComparer.Ordinal), rows.OrderBy(one => one.Key, StringComparer.Ordinal));
    }

    private async Task<ConsumerHost> HostAsync(Func<Task> meanwhile, bool isBeforeTransaction = false, TimeSpan? lease = null)
    {
        var host = await ConsumerHost.StartAsync(
            millrace =>
            {
                millrace.Services.AddDbContext<ShopDb>(context =>
                {
                    // While a transaction hangs, SQLite lets nobody else write.
                    if (isBeforeTransaction)
                        context.AddInterceptors(new Hanging(meanwhile));
                    _database!.Configure(context);
                });
                millrace.AddMessage<PointsEarned>()
                    .AddEventStore(options => options.AddCategory("points"))
                    .AddDbProjection<ShopDb>(
                        Name,
                        "points",
                        async (batch, db, token) =>
                        {
                            await FoldAsync(batch, db, token);
                            if (!isBeforeTransaction)
                                await meanwhile();
                        },
                        (generation, db, token) => db.Totals.Where(row => row.Generation == generation).ExecuteDeleteAsync(token),
                        options => (options.BatchSize, options.Lease) = (7, lease ?? TimeSpan.FromMilliseconds(500)));
            },
            _store);
        _hosts.Add(host);
        return host;
    }

    private sealed class Hanging(Func<Task> meanwhile) : DbTransactionInterceptor
    {
        public override async ValueTask<InterceptionResult<DbTransaction>> TransactionStartingAsync(
            DbConnection connection,
            TransactionStartingEventData eventData,
            InterceptionResult<DbTransaction> result,
            CancellationToken cancellationToken = default)
        {
            await meanwhile();
            return result;
        }
    }
}
