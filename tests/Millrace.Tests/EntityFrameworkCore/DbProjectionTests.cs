using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EntityFrameworkCore;
using Millrace.EventSourcing;
using Millrace.OutboxWorker;
using Millrace.Projections;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>A read model in a database, whose checkpoint is in its own transactions.</summary>
/// <param name="openDatabase">Makes the database.</param>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract class DbProjectionTests(Func<Task<TestDatabase>> openDatabase, Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private const string Name = "totals";

    private readonly List<ConsumerHost> _hosts = [];
    private readonly string _category = $"points{Guid.NewGuid():N}";
    private TestDatabase? _database;
    private IStreamStore? _store;

    public sealed class OnSqliteAndEmbedded() : DbProjectionTests(TestDatabase.OnSqliteAsync, null);

    public sealed class OnSqliteAndServer(SharedMillrace millrace) : DbProjectionTests(
        TestDatabase.OnSqliteAsync, async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    public sealed class OnPostgresAndEmbedded(SharedPostgres postgres) : DbProjectionTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()), null);

    public sealed class OnPostgresAndRedis(SharedPostgres postgres, SharedRedis redis) : DbProjectionTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()), async () => (await redis.StartedAsync()).Endpoint);

    private static TimeSpan Long => Eventually.Deadline;

    public async ValueTask InitializeAsync()
    {
        _database = await openDatabase();
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
            await host.DisposeAsync();
        await _store!.DisposeAsync();
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
        await CheckAsync(await RowsAsync(generation));

        await ControlOf(second).RebuildAsync(Name);
        await CheckAsync(await RowsAsync(await AfterAsync(second, generation)));
        await Eventually.TrueAsync("the first generation is gone", async () =>
        {
            await using var db = _database!.Open();
            return !await db.Totals.AnyAsync(row => row.Generation == generation) && await db.Set<ProjectionRow>().CountAsync() == 1;
        });
    }

    /// <summary>In each rebuild one query waits until the generation it was given is gone.</summary>
    [Fact]
    public async Task Queries_see_all_of_one_generation_through_three_rebuilds()
    {
        var host = await HostAsync(() => Task.CompletedTask);
        for (var i = 0; i < 30; i++)
            await AppendAsync(host, i % 3, i);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        var other = await HostAsync(() => Task.CompletedTask, runsHere: false);
        using var end = new CancellationTokenSource();
        var reading = Task.Run(async () =>
        {
            var queries = 0;
            for (; !end.IsCancellationRequested; queries++)
                await CheckAsync(await QueryAsync(host));
            return queries;
        });

        for (var rebuild = 1; rebuild <= 3; rebuild++)
        {
            List<int> asked = [];
            var rows = await QueryAsync(other, async generation =>
            {
                asked.Add(generation);
                if (asked.Count > 1)
                    return;
                await ControlOf(host).RebuildAsync(Name);
                await Eventually.TrueAsync("the generation is gone", async () =>
                {
                    await using var db = _database!.Open();
                    return !await db.Totals.AnyAsync(row => row.Generation == generation);
                });
            });

            Assert.Equal([asked[0], await AfterAsync(other, asked[0])], asked);
            await CheckAsync(rows);
        }

        await end.CancelAsync();
        Assert.True(await reading > 0);
    }

    /// <summary>As where each generation has a table of its own.</summary>
    [Fact]
    public async Task Query_that_fails_is_run_again_only_if_its_generation_was_replaced()
    {
        var host = await HostAsync(() => Task.CompletedTask);
        await AppendAsync(host, 1, 5);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        var first = await ControlOf(host).QueryAsync(Name, (generation, _) => Task.FromResult(generation));
        await ControlOf(host).RebuildAsync(Name);
        var next = await AfterAsync(host, first);

        Task<int> FailAtFirst(int generation, CancellationToken _) =>
            generation == first ? Task.FromException<int>(new InvalidOperationException("No such table.")) : Task.FromResult(generation);

        Assert.Equal(next, await ControlOf(host).QueryAsync(Name, FailAtFirst));
        await Assert.ThrowsAsync<TimeoutException>(() => ControlOf(host)
            .QueryAsync(Name, (_, _) => Task.FromException<int>(new TimeoutException("The database is away."))).AsTask());
        Assert.Equal(0, await ControlOf(await HostAsync(() => Task.CompletedTask, runsHere: false, name: "unborn"))
            .QueryAsync("unborn", (generation, _) => Task.FromResult(generation)));
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
        await _store!.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(new(_category, $"millrace/projection/{Name}/pulse"))] });
        await ControlOf(second).WaitForAsync(Name, null, Long);
        held.Release();
        await Eventually.TrueAsync("the first process stands by", () => new(ControlOf(first).Local[0].State == ProjectionState.StandingBy));

        await CheckAsync(await QueryAsync(second));
    }

    private static ProjectionControl ControlOf(ConsumerHost host) => host.Host.Services.GetRequiredService<ProjectionControl>();

    private async Task AppendAsync(ConsumerHost host, int aggregate, int amount) => await host.Host.Services.GetRequiredService<EventStore>()
        .AppendAsync($"{_category}-{aggregate}", ExpectedVersion.Any, [new PointsEarned(amount, "test")]);

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

    /// <summary>The generation that serves queries once a rebuild has replaced another.</summary>
    private static async Task<int> AfterAsync(ConsumerHost host, int replaced)
    {
        var generation = replaced;
        await Eventually.TrueAsync("the next generation serves queries", async () =>
            (generation = (await ControlOf(host).GetAsync(Name)).Generation) != replaced);
        return generation;
    }

    private Task AtLeastAsync(int events) => Eventually.TrueAsync($"{events} events are folded", async () =>
    {
        await using var db = _database!.Open();
        return await db.Totals.SumAsync(row => row.Version) >= events;
    });

    private ValueTask<List<Total>> QueryAsync(ConsumerHost host, Func<int, Task>? asking = null) =>
        ControlOf(host).QueryAsync(Name, async (generation, token) =>
        {
            await (asking?.Invoke(generation) ?? Task.CompletedTask);
            return await RowsAsync(generation, token);
        });

    private async Task<List<Total>> RowsAsync(int generation, CancellationToken cancellationToken = default)
    {
        await using var db = _database!.Open();
        return await db.Totals.Where(row => row.Generation == generation).ToListAsync(cancellationToken);
    }

    private async Task CheckAsync(List<Total> totals)
    {
        var rows = totals.ToDictionary(row => row.Stream, row => (row.Sum, row.Version));
        var events = await _hosts[^1].Host.Services.GetRequiredService<EventStore>().ReadCategoryAsync(_category).ToListAsync();
        var expected = events.GroupBy(one => one.Stream)
            .ToDictionary(stream => stream.Key, stream => (stream.Sum(one => (long)((PointsEarned)one.Event).Amount), (long)stream.Count()));
        Assert.Equal(expected.OrderBy(one => one.Key, StringComparer.Ordinal), rows.OrderBy(one => one.Key, StringComparer.Ordinal));
    }

    private async Task<ConsumerHost> HostAsync(
        Func<Task> meanwhile, bool isBeforeTransaction = false, TimeSpan? lease = null, bool runsHere = true, string name = Name)
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
                    .AddEventStore(options => options.AddCategory(_category))
                    .AddDbProjection<ShopDb>(
                        name,
                        _category,
                        async (batch, db, token) =>
                        {
                            await FoldAsync(batch, db, token);
                            if (!isBeforeTransaction)
                                await meanwhile();
                        },
                        (generation, db, token) => db.Totals.Where(row => row.Generation == generation).ExecuteDeleteAsync(token),
                        options => (options.BatchSize, options.Lease, options.RunsHere) = (7, lease ?? TimeSpan.FromMilliseconds(500), runsHere));
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
