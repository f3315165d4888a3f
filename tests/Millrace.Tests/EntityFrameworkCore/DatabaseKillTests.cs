using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>
/// A PostgreSQL whose processes are all killed with SIGKILL, between any two steps of those who write rows, relay them, and handle what was relayed.
/// </summary>
/// <param name="victim">The PostgreSQL of the class.</param>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract class DatabaseKillTests(DatabaseKillTests.Victim victim, Func<Task<string>>? endpoint)
    : IClassFixture<DatabaseKillTests.Victim>, IAsyncLifetime
{
    // The second number is rolled back: the steps of a writer are those of a row that is committed, of one that is not, and the beginning of a third.
    private const int FirstNumber = 3;

    // How many steps a role takes until it is done, or begins again. A test says so of each.
    private const int WriterSteps = 7;
    private const int RelaySteps = 15;
    private const int SuccessorSteps = 9;
    private const int HandlerSteps = 12;

    // Where a relay, as the process, has handed rows to the store and not settled them in the database.
    private const int BetweenStoreAndDatabase = 14;

    private readonly string _stream = $"killed-{Guid.NewGuid():N}";
    private readonly List<ConsumerHost> _hosts = [];
    private readonly List<int> _acknowledged = [];
    private int _number = FirstNumber;
    private TimeSpan _lease = TimeSpan.FromSeconds(1);
    private TestDatabase? _database;
    private IStreamStore? _store;

    public sealed class OnEmbedded(Victim victim) : DatabaseKillTests(victim, null)
    {
        /// <summary>Those whose steps are the same whatever the store is.</summary>
        [Theory]
        [MemberData(nameof(Steps), Role.Writer, WriterSteps)]
        [MemberData(nameof(Steps), Role.RetryingHandler, HandlerSteps)]
        public Task Every_committed_row_is_published_and_handled_once_when_the_database_is_killed_at_a_step_beside_the_store(Role role, int step) =>
            KillAsync(role, step);

        /// <summary>A role that gains a step is to be killed there, too.</summary>
        [Theory]
        [InlineData(Role.Writer, WriterSteps)]
        [InlineData(Role.Relay, RelaySteps)]
        [InlineData(Role.Successor, SuccessorSteps)]
        [InlineData(Role.Handler, HandlerSteps)]
        [InlineData(Role.RetryingHandler, HandlerSteps)]
        public Task Role_has_no_step_at_which_the_database_is_never_killed(Role role, int count) => WatchAsync(role, count);
    }

    public sealed class OnRedis(Victim victim, SharedRedis redis) : DatabaseKillTests(victim, async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(Victim victim, SharedMillrace millrace) : DatabaseKillTests(
        victim, async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    /// <summary>Who is at a step when the database dies.</summary>
    public enum Role
    {
        /// <summary>Writes an order and its row.</summary>
        Writer,

        /// <summary>The first relay of a table.</summary>
        Relay,

        /// <summary>A relay that takes over from one which died between store and database.</summary>
        Successor,

        /// <summary>Handles a message, which fails once in the transaction and once after it.</summary>
        Handler,

        /// <summary>The same with the execution strategy of a context that tries again by itself.</summary>
        RetryingHandler,
    }

    /// <summary>The steps of a role up to where they begin again.</summary>
    public static TheoryData<Role, int> Steps(Role role, int count) => [.. Enumerable.Range(1, count).Select(step => (role, step))];

    public async ValueTask InitializeAsync()
    {
        _database = await victim.TakeAsync();
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));
    }

    public async ValueTask DisposeAsync()
    {
        // Not back to the class: what a test that failed leaves behind is nobody else's.
        foreach (var host in _hosts)
            await host.DisposeAsync();
        await _store!.DisposeAsync();
        if (_database is not null)
            await _database.DisposeAsync();
    }

    [Theory]
    [MemberData(nameof(Steps), Role.Relay, RelaySteps)]
    [MemberData(nameof(Steps), Role.Successor, SuccessorSteps)]
    [MemberData(nameof(Steps), Role.Handler, HandlerSteps)]
    public Task Every_committed_row_is_published_and_handled_once_when_the_database_is_killed_at_any_step(Role role, int step) => KillAsync(role, step);

    /// <summary>All at once, killed again and again at random steps, now and then together with the processes that use it.</summary>
    [Fact]
    public async Task Every_committed_row_is_published_and_handled_once_when_the_database_is_killed_at_random_moments()
    {
        const int leastRounds = 4;
        const double share = 0.05;
        var random = new Random(Slice.SeedOf("MILLRACE_DATABASE_SEED"));
        var started = TimeProvider.System.GetTimestamp();
        for (var round = 0; round < leastRounds || TimeProvider.System.GetElapsedTime(started) < Slice.Of(share); round++)
        {
            var dies = new DeathAtStep(random.Next(1, 80), victim.Server.Kill);
            var writer = await HostAsync(isRelay: false, isHandler: false, dies);
            var relay = await HostAsync(isRelay: true, isHandler: false, dies);
            var handler = await HostAsync(isRelay: false, isHandler: true, dies, retries: random.Next(2) == 0);
            while (!dies.IsDead)
                await WriteAsync(writer);
            TestContext.Current.TestOutputHelper?.WriteLine($"round {round}: {dies.Step}");
            if (random.Next(2) == 0)
                await Task.WhenAll(relay.AbortAsync(), handler.AbortAsync());
            await victim.Server.StartAgainAsync();
            await WriteAllAsync(writer, random.Next(1, 4));
        }

        await HostAsync(isRelay: true, isHandler: true);
        await CheckAsync();
    }

    /// <summary>Nobody dies: all that a role does is done within its steps, or is what it did within them once more.</summary>
    private async Task WatchAsync(Role role, int count)
    {
        const string last = "after DELETE FROM millrace_outbox AS m";
        _lease = TimeSpan.FromMinutes(1); // An attempt more would be steps more.
        var watch = new DeathAtStep(int.MaxValue, victim.Server.Kill);
        await ActAsync(role, watch);
        await CheckAsync();

        // What comes later is a relay that has nothing to do; and a successor, once it has settled what was sent, is a relay like any other.
        var steps = watch.Steps.Select(step => step.Trim()).ToList();
        if (role is Role.Relay)
            steps = steps[..(steps.LastIndexOf(last) + 1)];
        if (role is Role.Successor)
            steps = steps[..(steps.IndexOf(last) + 1)];
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join('\n', steps));
        if (role is Role.Writer or Role.Relay)
            Assert.Contains(string.Join('\n', steps.Skip(count)), string.Join('\n', steps.Take(count)), StringComparison.Ordinal);
        else
            Assert.Equal(count, steps.Count);
        await GiveBackAsync();
    }

    /// <summary>Does what a role does, with what it needs for that.</summary>
    /// <returns>Who wrote the rows.</returns>
    private async Task<ConsumerHost> ActAsync(Role role, DeathAtStep dies)
    {
        var writer = await HostAsync(isRelay: false, isHandler: false, role == Role.Writer ? dies : null);
        if (role is Role.Relay or Role.Successor)
            await WriteAllAsync(writer, 4);
        if (role == Role.Successor)
            await DieAsync();
        if (role is not (Role.Handler or Role.RetryingHandler))
            await HostAsync(isRelay: false, isHandler: true);
        await HostAsync(isRelay: true, isHandler: false, role is Role.Relay or Role.Successor ? dies : null);
        if (role is Role.Handler or Role.RetryingHandler)
            await HostAsync(isRelay: false, isHandler: true, dies, role == Role.RetryingHandler);
        if (role is Role.Handler or Role.RetryingHandler)
            await WriteAllAsync(writer, 1);
        for (var written = 0; role is Role.Writer && written < 3 && !dies.IsDead; written++)
            await WriteAsync(writer);
        return writer;
    }

    private async Task KillAsync(Role role, int step)
    {
        var dies = new DeathAtStep(step, victim.Server.Kill);
        var writer = await ActAsync(role, dies);
        await dies.Died.WaitAsync(Eventually.Deadline);

        TestContext.Current.TestOutputHelper?.WriteLine($"{role} {step}: {dies.Step}");
        await WriteAsync(writer);
        await victim.Server.StartAgainAsync();
        await WriteAllAsync(writer, 3);
        await CheckAsync();
        await GiveBackAsync();
    }

    /// <summary>The next test has no use for a database of its own, once nobody works in this one any more.</summary>
    private async Task GiveBackAsync()
    {
        foreach (var host in _hosts)
            await host.StopAsync();
        victim.GiveBack(_database!);
        _database = null;
    }

    /// <summary>A relay that dies between store and database. Its lease is over, so that nobody has to wait for that.</summary>
    private async Task DieAsync()
    {
        var dies = new DeathAtStep(BetweenStoreAndDatabase);
        var host = await HostAsync(isRelay: true, isHandler: false, dies);
        await dies.Died.WaitAsync(Eventually.Deadline);
        Assert.Equal("after CommitAsync", dies.Step);

        // Its last call may still be on its way.
        await Eventually.TrueAsync("the store has the rows", async () => (await _store!.RangeAsync(_stream, new())).Count > 0);
        await host.AbortAsync();
        await _store!.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(OutboxNames.Lease(_stream))] });
    }

    /// <summary>Committed rows, until there are so many more.</summary>
    private async Task WriteAllAsync(ConsumerHost writer, int count)
    {
        for (var wanted = _acknowledged.Count + count; _acknowledged.Count < wanted;)
            await WriteAsync(writer);
    }

    private async Task WriteAsync(ConsumerHost writer)
    {
        if (await Workload.WriteAsync(writer.Host.Services, _stream, _number))
            _acknowledged.Add(_number);
        _number++;
    }

    private async Task CheckAsync()
    {
        await WorkloadCheck.SettledAsync(Open, _store!, _stream);
        var committed = await WorkloadCheck.CheckAsync(Open, _store!, _hosts[0].Host.Services.GetRequiredService<MessageCodec>(), _stream);
        Assert.Empty(_acknowledged.Except(committed));
    }

    /// <summary>Without the pool of the hosts, whose connections died with the server.</summary>
    private static ShopDb OpenUnpooled(TestDatabase database) =>
        new(new DbContextOptionsBuilder<ShopDb>().UseNpgsql($"{database.Connection};Pooling=false").Options);

    private ShopDb Open() => OpenUnpooled(_database!);

    private async Task<ConsumerHost> HostAsync(bool isRelay, bool isHandler, DeathAtStep? dies = null, bool retries = false)
    {
        var host = await ConsumerHost.StartAsync(
            millrace =>
            {
                Workload.AddOutboxTo(
                    millrace,
                    context =>
                    {
                        context.UseNpgsql(_database!.Connection, npgsql =>
                        {
                            if (retries)
                                npgsql.EnableRetryOnFailure(20, TimeSpan.FromMilliseconds(50), null);
                        });
                        if (dies is not null)
                            context.AddInterceptors(dies);
                    },
                    _stream,
                    outbox =>
                    {
                        (outbox.RunsRelay, outbox.BatchSize) = (isRelay, 3);
                        (outbox.PollInterval, outbox.RetryBaseDelay) = (TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(5));

                        // Not renewed between the steps of a slow machine.
                        outbox.Lease = TimeSpan.FromMinutes(1);
                    });
                if (isHandler)
                {
                    millrace.Services.AddScoped<Notes>();
                    millrace.AddConsumer<Notes, Placed>(
                        _stream,
                        Workload.Group,
                        static (notes, placed, context, token) => notes.HandleAsync(placed, context, token),
                        options =>
                        {
                            // One at a time, so that its steps are in order.
                            (options.Concurrency, options.MaxAttempts, options.MaxDeliveries, options.Lease) = (1, 1_000, 1_000, _lease);
                            (options.RetryBaseDelay, options.RetryMaxDelay) = (TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(50));
                        });
                }
            },

            // What a handler asks of the store is none of the database's business.
            isHandler ? _store : dies?.Wrap(_store!) ?? _store,
            instance: $"host-{_hosts.Count}");
        _hosts.Add(host);
        return host;
    }

    private sealed class Notes(ShopDb db)
    {
        public async Task HandleAsync(Placed placed, MessageContext context, CancellationToken cancellationToken)
        {
            var isFirst = await db.HandleOnceAsync(
                context,
                _ =>
                {
                    db.Orders.Add(new() { Name = $"{Workload.Noted}{placed.Number}" });
                    return context.Attempt == 1 ? throw new InvalidOperationException("In the transaction.") : Task.CompletedTask;
                },
                cancellationToken);
            if (isFirst)
                throw new InvalidOperationException("After the transaction.");
        }
    }

    /// <summary>One for all tests of a class, one after the other.</summary>
    public sealed class Victim : IAsyncLifetime
    {
        private TestDatabase? _database;

        public PostgresServer Server { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Server = await PostgresServer.StartAsync();

        public async ValueTask DisposeAsync()
        {
            if (_database is not null)
                await _database.DisposeAsync();
            await Server.DisposeAsync();
        }

        /// <summary>An empty database: that of the test before, or a new one.</summary>
        public async Task<TestDatabase> TakeAsync()
        {
            if (_database is not { } database)
                return await TestDatabase.OnPostgresAsync(Server);
            _database = null;
            await using var db = OpenUnpooled(database);
            await db.Database.ExecuteSqlRawAsync("TRUNCATE millrace_outbox, millrace_outbox_name, millrace_inbox, \"Orders\"");
            return database;
        }

        public void GiveBack(TestDatabase database) => _database = database;
    }
}
