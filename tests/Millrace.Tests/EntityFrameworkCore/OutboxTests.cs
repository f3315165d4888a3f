using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;
using Millrace.Embedded;
using Millrace.OutboxWorker;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>What the outbox promises, the same on every database and store.</summary>
/// <param name="openDatabase">Makes the database.</param>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract partial class OutboxTests(Func<Task<TestDatabase>> openDatabase, Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private readonly string _stream = $"placed-{Guid.NewGuid():N}";
    private readonly List<ConsumerHost> _hosts = [];
    private TestDatabase? _database;
    private IStreamStore? _store;

    public sealed class OnSqliteAndEmbedded() : OutboxTests(TestDatabase.OnSqliteAsync, null);

    public sealed class OnSqliteAndRedis(SharedRedis redis) : OutboxTests(TestDatabase.OnSqliteAsync, async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnPostgresAndEmbedded(SharedPostgres postgres) : OutboxTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()), null);

    public sealed class OnPostgresAndRedis(SharedPostgres postgres, SharedRedis redis) : OutboxTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()), async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnPostgresAndServer(SharedPostgres postgres, SharedMillrace millrace) : OutboxTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()),
        async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

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

    [Fact]
    public async Task Messages_are_published_in_the_order_of_the_calls_and_their_rows_go()
    {
        var host = await HostAsync();
        await WriteAsync(host, db =>
        {
            for (var i = 1; i <= 120; i++)
            {
                db.Orders.Add(new() { Name = $"order {i}" });
                db.Publish(_stream, new Placed(i), new() { PartitionKey = $"k{i % 3}", Subject = $"order/{i}", MessageId = $"m{i}" });
            }
        });
        await WriteAsync(host, db => db.Publish(_stream, new Placed(121)));

        var entries = await host.ReadAsync(_stream, 121);

        Assert.Equal(Enumerable.Range(1, 121), Numbers(host, entries));
        var headers = new MessageHeaders(entries[0].Id, entries[0].Fields);
        Assert.Equal(("m1", "order/1", "k1", "test.placed"), (headers.MessageId, headers.Subject, headers.PartitionKey, headers.Type));
        await WhenRelayedAsync();
        await using var db = _database!.Open();
        Assert.Equal((120, 0), (await db.Orders.CountAsync(), await db.Outbox.CountAsync()));
    }

    [Fact]
    public async Task Nothing_of_a_transaction_that_was_rolled_back_or_of_a_context_that_was_not_saved_is_published()
    {
        var host = await HostAsync();
        await using (var scope = host.Host.Services.CreateAsyncScope())
        {
            var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
            await using (var transaction = await db.Database.BeginTransactionAsync())
            {
                db.Publish(_stream, new Placed(1));
                await db.SaveChangesAsync();
                await transaction.RollbackAsync();
            }

            await using (var transaction = await db.Database.BeginTransactionAsync())
            {
                db.Publish(_stream, new Placed(2));
                await db.SaveChangesAsync();
                db.Publish(_stream, new Placed(3));
                await db.SaveChangesAsync();
                await transaction.CommitAsync();
            }

            db.Publish(_stream, new Placed(4));
        }

        await WriteAsync(host, db => db.Publish(_stream, new Placed(5)));

        Assert.Equal([2, 3, 5], Numbers(host, await host.ReadAsync(_stream, 3)));
    }

    [Fact]
    public async Task Process_that_would_relay_the_table_under_another_name_does_not_start()
    {
        var first = await HostAsync();
        await WriteAsync(first, db => db.Publish(_stream, new Placed(1)));
        await first.ReadAsync(_stream);
        await WhenRelayedAsync();

        var refused = await Assert.ThrowsAsync<MillraceConfigurationException>(() => HostAsync(options: options => options.Name = "other"));
        Assert.Contains($"relayed under '{_stream}'", refused.Message, StringComparison.Ordinal);
        Assert.Contains("millrace_outbox_name", refused.Message, StringComparison.Ordinal);
        await first.StopAsync();
        await using (var db = _database!.Open())
            await db.Set<OutboxNameRow>().ExecuteUpdateAsync(set => set.SetProperty(row => row.Name, "other"));
        var renamed = await HostAsync(options: options => options.Name = "other");
        await WriteAsync(renamed, db => db.Publish(_stream, new Placed(2)));

        Assert.Equal([1, 2], Numbers(renamed, await renamed.ReadAsync(_stream, 2)));
    }

    /// <summary>Whoever inserts the row with the name first has the table; the other learns of it however close they were.</summary>
    [Fact]
    public async Task Of_processes_that_start_at_once_with_different_names_one_relays()
    {
        string[] names = ["a", "b", "c", "d"];
        var starts = await Task.WhenAll(names.Select(name => Task.Run(async () =>
        {
            try
            {
                return await HostAsync(options: options => options.Name = name);
            }
            catch (MillraceConfigurationException)
            {
                return null;
            }
        })));

        Assert.Single(starts.OfType<ConsumerHost>());
    }

    [Fact]
    public async Task Delayed_message_is_scheduled_in_the_store()
    {
        var host = await HostAsync();
        await WriteAsync(host, db =>
        {
            db.Publish(_stream, new Placed(1), new() { Delay = TimeSpan.FromHours(1) });
            db.Publish(_stream, new Placed(2), new() { Delay = TimeSpan.FromMilliseconds(300) });
            db.Publish(_stream, new Placed(3));
        });

        Assert.Equal([3, 2], Numbers(host, await host.ReadAsync(_stream, 2)));
        Assert.Equal(1, (await _store!.GetScheduleAsync(_stream)).Count);
    }

    [Fact]
    public async Task Message_of_a_handler_goes_on_with_the_conversation_and_gets_its_id_from_the_message_handled()
    {
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == MillraceTelemetry.ActivitySourceName,
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
        };
        ActivitySource.AddActivityListener(listener);
        var (input, runs) = ($"in-{Guid.NewGuid():N}", 0);
        var host = await HostAsync(configure: millrace => millrace.AddConsumer<Handler, Paid>(input, "billing", async (handler, paid, context, token) =>
        {
            await handler.HandleAsync(_stream, paid, token);
            if (Interlocked.Increment(ref runs) == 1)
                throw new TimeoutException("After the database took it.");
        }, options => options.RetryBaseDelay = TimeSpan.FromMilliseconds(1)));
        await host.Publisher.PublishAsync(input, new Paid(7), new() { MessageId = "cause", CorrelationId = "talk" });

        var entries = await host.ReadAsync(_stream, 2);

        var headers = entries.Select(entry => new MessageHeaders(entry.Id, entry.Fields)).ToList();
        Assert.Equal([("talk", "cause"), ("talk", "cause")], headers.Select(one => (one.CorrelationId, one.CausationId)));
        Assert.Equal(headers[0].MessageId, headers[1].MessageId);
        Assert.Equal(2, headers.Select(one => one.TraceParent).OfType<string>().Count());
        await WriteAsync(host, db => db.Publish(_stream, new Placed(8)));
        Assert.Null(new MessageHeaders(default, (await host.ReadAsync(_stream, 3))[2].Fields).CausationId);
    }

    [Fact]
    public async Task Two_relays_and_four_writers_publish_every_committed_message_once_and_each_key_in_order()
    {
        const int each = 60;
        ConsumerHost[] hosts = [await HostAsync(Quick), await HostAsync(Quick), await HostAsync(Quick)];
        await Task.WhenAll(Enumerable.Range(0, 4).Select(writer => Task.Run(async () =>
        {
            for (var i = 0; i < each; i++)
            {
                await using var scope = hosts[writer % 3].Host.Services.CreateAsyncScope();
                var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
                await using var transaction = await db.Database.BeginTransactionAsync();
                db.Orders.Add(new() { Name = $"{writer}" });
                db.Publish(_stream, new Placed(i, $"{writer}"), new() { PartitionKey = $"{writer}" });
                await db.SaveChangesAsync();
                if (i % 5 == 4)
                    await transaction.RollbackAsync();
                else
                    await transaction.CommitAsync();
            }
        })));

        await WhenRelayedAsync();
        var published = Messages(hosts[0], await _store!.RangeAsync(_stream, new()));
        foreach (var key in published.GroupBy(one => one.Key))
            Assert.Equal(Enumerable.Range(0, each).Where(i => i % 5 != 4), key.Select(one => one.Number));
        Assert.Equal(4 * each * 4 / 5, published.Count);

        static void Quick(OutboxOptions options) => options.BatchSize = 7;
    }

    [Fact]
    public async Task Rows_that_are_kept_are_published_once_and_deleted_when_their_time_is_over()
    {
        var host = await HostAsync(options => options.KeepRelayed = TimeSpan.FromDays(1));
        await WriteAsync(host, db => db.Publish(_stream, new Placed(1)));
        await WriteAsync(host, db => db.Publish(_stream, new Placed(2)));
        await WhenRelayedAsync();

        await using var db = _database!.Open();
        Assert.Equal([OutboxRowState.Relayed, OutboxRowState.Relayed], await db.Outbox.Select(row => row.State).ToListAsync());
        await new OutboxTable(db).CleanAsync(TimeSpan.FromHours(1), default);
        Assert.Equal(2, await db.Outbox.CountAsync());
        await db.Outbox.Take(1).ExecuteUpdateAsync(set => set.SetProperty(row => row.SettledAt, row => row.SettledAt!.Value.AddHours(-2)));
        await new OutboxTable(db).CleanAsync(TimeSpan.FromHours(1), default);
        Assert.Equal(1, await db.Outbox.CountAsync());
        Assert.Equal(2, (await _store!.RangeAsync(_stream, new())).Count);
    }

    private async Task<ConsumerHost> HostAsync(
        Action<OutboxOptions>? options = null, Action<MillraceBuilder>? configure = null, DeathAtStep? dies = null, UnreliableLine? line = null)
    {
        var host = await ConsumerHost.StartAsync(
            millrace =>
            {
                millrace.Services.AddDbContext<ShopDb>(context =>
                {
                    _database!.Configure(context);
                    if (dies is not null)
                        context.AddInterceptors(dies);
                    if (line is not null)
                        context.AddInterceptors(line);
                });
                millrace.AddMessage<Placed>().AddMessage<Paid>().AddOutbox<ShopDb>(outbox =>
                {
                    // What is shown is not that it polls.
                    outbox.PollInterval = TimeSpan.FromHours(1);
                    outbox.Name = _stream;
                    outbox.Lease = TimeSpan.FromMilliseconds(200);
                    outbox.RetryBaseDelay = TimeSpan.FromMilliseconds(5);
                    options?.Invoke(outbox);
                });
                millrace.Services.AddScoped<Handler>();
                configure?.Invoke(millrace);
            },
            dies?.Wrap(_store!) ?? line?.Wrap(_store!) ?? _store,
            instance: $"host-{_hosts.Count}");
        lock (_hosts)
            _hosts.Add(host);
        return host;
    }

    private static async Task WriteAsync(ConsumerHost host, Action<ShopDb> write)
    {
        await using var scope = host.Host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
        write(db);
        await db.SaveChangesAsync();
    }

    private Task WhenRelayedAsync() => Eventually.TrueAsync("all rows are relayed", async () =>
    {
        await using var db = _database!.Open();
        return !await db.Outbox.AnyAsync(row => row.State == OutboxRowState.Waiting);
    });

    private static List<Placed> Messages(ConsumerHost host, IEnumerable<StreamEntry> entries)
    {
        var codec = host.Host.Services.GetRequiredService<MessageCodec>();
        return [.. entries.Select(entry => (Placed)codec.Decode(entry.Id, entry.Fields))];
    }

    private static IEnumerable<int> Numbers(ConsumerHost host, IEnumerable<StreamEntry> entries) => Messages(host, entries).Select(one => one.Number);

    /// <summary>Code below a handler, which is passed no context.</summary>
    private sealed class Handler(ShopDb db)
    {
        public async Task HandleAsync(string stream, Paid paid, CancellationToken cancellationToken)
        {
            db.Orders.Add(new() { Name = $"{paid.Number}" });
            db.Publish(stream, new Placed(paid.Number));
            await db.SaveChangesAsync(cancellationToken);
        }
    }
}
