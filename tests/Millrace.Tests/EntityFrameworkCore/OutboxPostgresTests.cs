using System.Data.Common;
using System.Globalization;
using System.Transactions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.EntityFrameworkCore;
using Millrace.Embedded;
using Millrace.OutboxWorker;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Monitoring;
using Npgsql;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>What only PostgreSQL shows: transactions that overlap, and notifications.</summary>
public sealed class OutboxPostgresTests(SharedPostgres postgres) : IAsyncLifetime
{
    private readonly EmbeddedStreamStore _store = new(new());
    private TestDatabase? _database;

    public async ValueTask InitializeAsync() => _database = await TestDatabase.OnPostgresAsync(await postgres.StartedAsync());

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _database!.DisposeAsync();
    }

    /// <summary>The classic: a relay that remembers the highest number it has seen never finds the lower one.</summary>
    [Fact]
    public async Task Row_with_a_lower_number_that_is_committed_later_is_published_later()
    {
        await using var host = await HostAsync();
        await using var scope = host.Host.Services.CreateAsyncScope();
        var slow = scope.ServiceProvider.GetRequiredService<ShopDb>();
        await using var transaction = await slow.Database.BeginTransactionAsync();
        slow.Publish("placed", new Placed(1));
        await slow.SaveChangesAsync();
        await WriteAsync(host, 2);
        Assert.Single(await host.ReadAsync("placed"));

        await transaction.CommitAsync();

        Assert.Equal(2, (await host.ReadAsync("placed", 2)).Count);
    }

    /// <summary>
    /// The relay never polls. One that is woken at the save, before the commit, has looked in vain when the row of another transaction is relayed; nobody
    /// woke it again for an enlisted transaction.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Ambient_transaction_publishes_at_its_end_what_it_commits_and_nothing_that_it_rolls_back(bool isEnlisted)
    {
        await using var host = await HostAsync();

        await SaveAsync(1, commits: false);
        await SaveAsync(3, commits: true);

        var published = await host.ReadAsync("placed", 3);
        await host.StopAsync();
        var codec = host.Host.Services.GetRequiredService<MessageCodec>();
        Assert.Equal([2, 4, 3], (await _store.RangeAsync("placed", new())).Select(entry => ((Placed)codec.Decode(entry.Id, entry.Fields)).Number));
        Assert.Equal(3, published.Count);

        async Task SaveAsync(int number, bool commits)
        {
            await using var services = host.Host.Services.CreateAsyncScope();
            var db = services.ServiceProvider.GetRequiredService<ShopDb>();
            using var enlisted = isEnlisted ? new CommittableTransaction() : null;
            using var ambient = isEnlisted ? null : new TransactionScope(TransactionScopeAsyncFlowOption.Enabled);
            await db.Database.OpenConnectionAsync();
            if (isEnlisted)
                db.Database.EnlistTransaction(enlisted);
            db.Publish("placed", new Placed(number));
            await db.SaveChangesAsync();
            using (new TransactionScope(TransactionScopeOption.Suppress, TransactionScopeAsyncFlowOption.Enabled))
                await WriteAsync(host, number + 1);
            await host.ReadAsync("placed", number == 1 ? 1 : 2);
            await Eventually.TrueAsync("the relay has found nothing more", async () => await _store.GetStateAsync(OutboxNames.Lease("shop")) is null);
            if (commits)
            {
                enlisted?.Commit();
                ambient?.Complete();
            }
        }
    }

    [Fact]
    public async Task Commit_of_a_process_that_does_not_relay_wakes_the_relay_of_another_which_never_polls()
    {
        await using var relay = await HostAsync(options => options.UsePostgreSqlNotifications());
        await using var writer = await HostAsync(options =>
        {
            options.RunsRelay = false;
            options.UsePostgreSqlNotifications();
        });

        // The first may be found because listening has just begun.
        for (var i = 1; i <= 3; i++)
        {
            await WriteAsync(writer, i);
            await relay.ReadAsync("placed", i);
        }
    }

    [Fact]
    public async Task Listener_that_lost_its_connection_listens_again_and_misses_nothing()
    {
        await using var relay = await HostAsync(options => options.UsePostgreSqlNotifications());
        await using var writer = await HostAsync(options =>
        {
            options.RunsRelay = false;
            options.UsePostgreSqlNotifications();
        });
        await WriteAsync(writer, 1);
        await relay.ReadAsync("placed");

        await using (var db = _database!.Open())
            await db.Database.ExecuteSqlRawAsync("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'");
        await WriteAsync(writer, 2);

        await relay.ReadAsync("placed", 2);
    }

    [Theory]
    [InlineData("")]
    [InlineData("With\"quote")]
    public void Name_that_is_no_channel_is_refused(string channel) =>
        Assert.ThrowsAny<ArgumentException>(() => new OutboxOptions().UsePostgreSqlNotifications(channel));

    /// <summary>The nine days of a peer's silent backlog: any process can see that nobody relays.</summary>
    [Fact]
    public async Task Backlog_that_nobody_relays_shows_in_the_health_of_a_process_that_only_writes()
    {
        await using var host = await HostAsync(
            options => (options.RunsRelay, options.DegradedAge) = (false, TimeSpan.FromMinutes(5)),
            millrace => millrace.Services.AddHealthChecks().AddMillraceOutbox<ShopDb>());
        var health = host.Host.Services.GetRequiredService<HealthCheckService>();
        await WriteAsync(host, 1);
        Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync()).Status);

        await using (var db = _database!.Open())
            await db.Database.ExecuteSqlRawAsync("UPDATE millrace_outbox SET created_at = created_at - interval '6 minutes'");
        var late = (await health.CheckHealthAsync()).Entries["millrace-outbox"];
        Assert.Equal(HealthStatus.Degraded, late.Status);
        Assert.Equal(1L, late.Data["waiting"]);

        await using (var db = _database.Open())
            await db.Database.ExecuteSqlRawAsync("UPDATE millrace_outbox SET state = 2");
        var parked = (await health.CheckHealthAsync()).Entries["millrace-outbox"];
        Assert.Equal((HealthStatus.Degraded, "1 rows are parked"), (parked.Status, parked.Description));
    }

    /// <summary>A database that is restored gives its numbers again; the rows that get them are new, and were taken for relayed.</summary>
    [Fact]
    public async Task Rows_of_a_restored_database_are_published_although_their_numbers_were_relayed_before()
    {
        await using var host = await HostAsync();
        for (var i = 1; i <= 3; i++)
            await WriteAsync(host, i);
        await host.ReadAsync("placed", 3);
        await using (var db = _database!.Open())
        {
            await Eventually.TrueAsync("the rows are deleted, so that their numbers are free", async () => !await db.Outbox.AnyAsync());
            await db.Database.ExecuteSqlRawAsync("ALTER TABLE millrace_outbox ALTER COLUMN id RESTART WITH 1");
        }

        await host.StopAsync();

        await using var restarted = await HostAsync();
        for (var i = 4; i <= 6; i++)
            await WriteAsync(restarted, i);

        Assert.Equal(6, (await restarted.ReadAsync("placed", 6)).Count);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Contexts_from_pools_and_factories_publish_too(bool isPooled)
    {
        await using var host = await HostAsync(addContext: services =>
        {
            if (isPooled)
                services.AddDbContextPool<ShopDb>(_database!.Configure);
            else
                services.AddDbContextFactory<ShopDb>(_database!.Configure);
        });
        await WriteAsync(host, 1);
        if (!isPooled)
        {
            await using var db = await host.Host.Services.GetRequiredService<IDbContextFactory<ShopDb>>().CreateDbContextAsync();
            db.Publish("placed", new Placed(2));
            await db.SaveChangesAsync();
        }
        else
        {
            await WriteAsync(host, 2);
        }

        Assert.Equal(2, (await host.ReadAsync("placed", 2)).Count);
    }

    /// <summary>A context that lives long would keep every row that it ever wrote.</summary>
    [Fact]
    public async Task Rows_that_are_saved_are_not_kept_by_their_context()
    {
        await using var host = await HostAsync(options => options.RunsRelay = false);
        await using var scope = host.Host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
        for (var i = 0; i < 3; i++)
        {
            db.Orders.Add(new() { Name = $"{i}" });
            db.Publish("placed", new Placed(i));
            await db.SaveChangesAsync();
        }

        Assert.Equal((3, 0), (db.ChangeTracker.Entries<Order>().Count(), db.ChangeTracker.Entries<OutboxRow>().Count()));
        Assert.Equal(3, await db.Outbox.CountAsync());
    }

    /// <summary>Two processes with a block of numbers each would relay the rows of a key in the order of the blocks.</summary>
    [Fact]
    public async Task Model_that_numbers_rows_by_blocks_is_refused()
    {
        await using (var db = _database!.Open())
            await db.Database.ExecuteSqlRawAsync("CREATE SEQUENCE \"EntityFrameworkHiLoSequence\" INCREMENT BY 10");
        await using var host = await ConsumerHost.StartAsync(
            millrace =>
            {
                millrace.Services.AddDbContext<BlockDb>(_database.Configure);
                millrace.AddMessage<Placed>().AddOutbox<BlockDb>(outbox => outbox.Name = "blocks");
            },
            _store);
        await using var scope = host.Host.Services.CreateAsyncScope();
        var blocks = scope.ServiceProvider.GetRequiredService<BlockDb>();

        var exception = Assert.Throws<InvalidOperationException>(() => blocks.Publish("placed", new Placed(1)));

        Assert.Contains("HiLo", exception.Message, StringComparison.Ordinal);
        Assert.Equal(0, await blocks.SaveChangesAsync());
    }

    private sealed class BlockDb(DbContextOptions<BlockDb> options) : DbContext(options)
    {
        protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.UseHiLo().AddMillraceOutbox();
    }

    /// <summary>Three rows wait while the store is away, the first for six minutes; when it is back two are relayed and one is refused.</summary>
    [Fact]
    public async Task What_waits_and_what_was_relayed_is_measured()
    {
        await using (var writer = await HostAsync(options => options.RunsRelay = false))
        {
            for (var i = 1; i <= 3; i++)
                await WriteAsync(writer, i);
        }

        await using (var db = _database!.Open())
        {
            await db.Database.ExecuteSqlRawAsync("UPDATE millrace_outbox SET created_at = created_at - interval '6 minutes' WHERE id = 1");
            await db.Database.ExecuteSqlRawAsync("UPDATE millrace_outbox SET fields = '\\xC8' WHERE id = 2");
        }

        var isAway = true;
        var line = FaultyStore.Wrap(_store, member => member == nameof(IStreamStore.CommitAsync) && Volatile.Read(ref isAway)
            ? FaultyStore.Fault.Before
            : FaultyStore.Fault.None);
        var time = new ManualTimeProvider();
        await using var host = await HostAsync(options => options.MaxAttempts = 2, store: line, time: time);
        using var recorder = new MeterRecorder(host);

        var away = await WhenMeasuredAsync(waiting: 3);
        Assert.Equal(0, Assert.Single(away["millrace.outbox.parked"]).Value);
        Assert.InRange(Assert.Single(away["millrace.outbox.oldest_age"]).Value, 360, 600);
        Assert.Empty(recorder.Of("millrace.outbox.relayed"));

        Volatile.Write(ref isAway, false);
        var back = await WhenMeasuredAsync(waiting: 0);
        Assert.Equal((1d, "{message}", Outbox), Told(back["millrace.outbox.parked"]));
        Assert.Equal((0d, "s", Outbox), Told(back["millrace.outbox.oldest_age"]));
        Assert.Equal(2, recorder.Of("millrace.outbox.relayed").Sum(reading => reading.Value));
        Assert.Equal((1d, "{message}", $"{Outbox} messaging.destination.name=placed"), Told(recorder.Of("millrace.outbox.refused")));

        Task<ILookup<string, MeterRecorder.Reading>> WhenMeasuredAsync(int waiting) => WhenToldAsync(recorder, time, waiting);

        static (double Value, string? Unit, string Tags) Told(IEnumerable<MeterRecorder.Reading> readings) =>
            Assert.Single(readings) is var reading ? (reading.Value, reading.Unit, reading.Tags) : default;
    }

    /// <summary>Unknown is not zero, nor what it was.</summary>
    [Fact]
    public async Task Gauges_tell_nothing_while_the_database_is_away_and_soon_again_when_it_is_back()
    {
        var line = new DatabaseLine();
        var time = new ManualTimeProvider();
        await using var host = await HostAsync(
            options => options.PollInterval = TimeSpan.FromDays(1),
            addContext: services => services.AddDbContext<ShopDb>(options =>
            {
                _database!.Configure(options);
                options.AddInterceptors(line);
            }),
            time: time);
        using var recorder = new MeterRecorder(host);
        var outbox = host.Host.Services.GetRequiredService<Outbox<ShopDb>>();
        await WhenToldAsync(recorder, time, waiting: 0, outbox.Wake);

        line.IsAway = true;
        var away = await WhenToldAsync(recorder, time, waiting: null, outbox.Wake);
        Assert.DoesNotContain(away, static gauge => gauge.Key.StartsWith("millrace.outbox.", StringComparison.Ordinal));

        line.IsAway = false;
        await WhenToldAsync(recorder, time, waiting: 0);
    }

    /// <summary>Lets time pass until the gauges say how many rows wait, or nothing.</summary>
    private static async Task<ILookup<string, MeterRecorder.Reading>> WhenToldAsync(
        MeterRecorder recorder, ManualTimeProvider time, int? waiting, Action? meanwhile = null)
    {
        ILookup<string, MeterRecorder.Reading>? found = null;
        await Eventually.TrueAsync($"{waiting?.ToString(CultureInfo.InvariantCulture) ?? "unknown how many"} rows wait", () =>
        {
            meanwhile?.Invoke();
            time.Advance(TimeSpan.FromSeconds(1));
            found = recorder.Scrape();
            return ValueTask.FromResult(found["millrace.outbox.waiting"].SingleOrDefault()?.Value == waiting);
        });
        return found!;
    }

    /// <summary>A line to the database that can be cut.</summary>
    private sealed class DatabaseLine : DbConnectionInterceptor
    {
        public volatile bool IsAway;

        public override ValueTask<InterceptionResult> ConnectionOpeningAsync(
            DbConnection connection, ConnectionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default) =>
            IsAway ? throw new TimeoutException("The database is away.") : new(result);
    }

    private const string Outbox = "millrace.outbox.name=shop";

    private Task<ConsumerHost> HostAsync(
        Action<OutboxOptions>? options = null,
        Action<MillraceBuilder>? configure = null,
        Action<IServiceCollection>? addContext = null,
        IStreamStore? store = null,
        TimeProvider? time = null) => ConsumerHost.StartAsync(
        millrace =>
        {
            if (addContext is not null)
                addContext(millrace.Services);
            else
                millrace.Services.AddDbContext<ShopDb>(_database!.Configure);
            millrace.AddMessage<Placed>().AddOutbox<ShopDb>(outbox =>
            {
                outbox.Name = "shop";
                outbox.PollInterval = TimeSpan.FromHours(1);
                outbox.RetryBaseDelay = TimeSpan.FromMilliseconds(5);
                options?.Invoke(outbox);
            });
            configure?.Invoke(millrace);
        },
        store ?? _store,
        time);

    private static async Task WriteAsync(ConsumerHost host, int number)
    {
        await using var scope = host.Host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
        db.Publish("placed", new Placed(number));
        await db.SaveChangesAsync();
    }
}
