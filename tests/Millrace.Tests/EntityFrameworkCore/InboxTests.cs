using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.EntityFrameworkCore;
using Millrace.Embedded;
using Millrace.OutboxWorker;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>What the inbox promises, the same on every database and store.</summary>
/// <param name="openDatabase">Makes the database.</param>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract class InboxTests(Func<Task<TestDatabase>> openDatabase, Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private readonly string _stream = $"paid-{Guid.NewGuid():N}";
    private readonly string _out = $"placed-{Guid.NewGuid():N}";
    private readonly List<ConsumerHost> _hosts = [];
    private TestDatabase? _database;
    private IStreamStore? _store;

    public sealed class OnSqliteAndEmbedded() : InboxTests(TestDatabase.OnSqliteAsync, null);

    public sealed class OnPostgresAndEmbedded(SharedPostgres postgres) : InboxTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()), null);

    public sealed class OnPostgresAndRedis(SharedPostgres postgres, SharedRedis redis) : InboxTests(
        async () => await TestDatabase.OnPostgresAsync(await postgres.StartedAsync()), async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnPostgresAndServer(SharedPostgres postgres, SharedMillrace millrace) : InboxTests(
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
    public async Task Message_that_comes_again_is_acknowledged_and_its_handler_not_run()
    {
        var runs = 0;
        var host = await HostAsync((paid, db, _, _) =>
        {
            Interlocked.Increment(ref runs);
            db.Orders.Add(new() { Name = $"{paid.Number}" });
            db.Publish(_out, new Placed(paid.Number));
            return Task.CompletedTask;
        });
        for (var i = 0; i < 12; i++)
            await host.Publisher.PublishAsync(_stream, new Paid(i % 4), new() { MessageId = $"m{i % 4}" });

        await host.WhenSettledAsync(_stream, "billing");

        Assert.Equal(4, runs);
        Assert.Equal(["0", "1", "2", "3"], await OrdersAsync());
        Assert.Equal(4, (await host.ReadAsync(_out, 4)).Count);
        Assert.Equal(0, await DeadLettersAsync());
    }

    [Fact]
    public async Task Handler_that_fails_leaves_nothing_and_runs_again()
    {
        var runs = 0;
        var host = await HostAsync(async (paid, db, _, token) =>
        {
            db.Orders.Add(new() { Name = $"{paid.Number}" });
            db.Publish(_out, new Placed(paid.Number));
            await db.SaveChangesAsync(token);
            if (Interlocked.Increment(ref runs) < 3)
                throw new TimeoutException("After it saved.");
        });
        await host.Publisher.PublishAsync(_stream, new Paid(1));

        await host.ReadAsync(_out);
        await host.WhenSettledAsync(_stream, "billing");

        Assert.Equal((3, 1), (runs, (await OrdersAsync()).Count));
        Assert.Single(await _store!.RangeAsync(_out, new()));
    }

    /// <summary>Two groups are two consumers; and so are two streams with groups of one name, to which a message was copied with its ID.</summary>
    [Fact]
    public async Task Message_is_handled_once_by_each_group_of_each_stream()
    {
        var copy = $"{_stream}-copy";
        var host = await HostAsync(
            Add("billing"),
            millrace => millrace
                .AddInboxConsumer<ShopDb, Paid>(_stream, "shipping", Add("shipping"))
                .AddInboxConsumer<ShopDb, Paid>(copy, "billing", Add("copy")));
        for (var i = 0; i < 2; i++)
        {
            await host.Publisher.PublishAsync(_stream, new Paid(1), new() { MessageId = new string('m', 300) });
            await host.Publisher.PublishAsync(copy, new Paid(1), new() { MessageId = new string('m', 300) });
        }

        await host.WhenSettledAsync(_stream, "billing");
        await host.WhenSettledAsync(_stream, "shipping");
        await host.WhenSettledAsync(copy, "billing");

        Assert.Equal(["billing", "copy", "shipping"], await OrdersAsync());

        static Func<Paid, ShopDb, MessageContext, CancellationToken, Task> Add(string name) => (_, db, _, _) =>
        {
            db.Orders.Add(new() { Name = name });
            return Task.CompletedTask;
        };
    }

    /// <summary>Entries of another program: the second one would pass for the first, which the table knows.</summary>
    [Fact]
    public async Task Entries_without_an_id_are_two_messages_of_an_inbox_where_two_lanes_give_them_the_same_entry_id()
    {
        var express = StreamNames.Lane(_stream, "express");
        var host = await HostAsync(
            (paid, db, _, _) =>
            {
                db.Orders.Add(new() { Name = $"{paid.Number}" });
                return Task.CompletedTask;
            },
            millrace => millrace.AddLanes(_stream, lanes => lanes.Add("express", 8)));
        foreach (var (number, stream) in new[] { _stream, express }.Index())
        {
            var fields = EntryFields.Create(("type", "test.paid"), ("data", $"{{\"number\":{number}}}"));
            await _store!.CommitAsync(new Commit { Changes = [new CommitChange.Append(stream, fields, new EntryId(1_700_000_000_000, 0))] });
            await host.WhenSettledAsync(stream, "billing");
        }

        Assert.Equal(["0", "1"], await OrdersAsync());
        await using var db = _database!.Open();
        Assert.Equal(
            new[] { "1700000000000-0", $"{express}/1700000000000-0" }.Order(StringComparer.Ordinal),
            (await db.Inbox.Select(row => row.MessageId).ToListAsync()).Order(StringComparer.Ordinal));
        Assert.Equal(0, await DeadLettersAsync());
    }

    /// <summary>Both hold the message at once: as when one has lost its lease and does not know it yet.</summary>
    [Fact]
    public async Task Two_processes_with_one_message_at_once_have_its_effects_once()
    {
        var host = await HostAsync(async (paid, db, context, token) =>
        {
            db.Orders.Add(new() { Name = $"{paid.Number}" });
            await db.SaveChangesAsync(token);
            if (paid.Number >= 0)
                await HandleAsSecondProcessAsync(paid, context, token);
        });
        await host.Publisher.PublishAsync(_stream, new Paid(1));

        await host.WhenSettledAsync(_stream, "billing");
        await _second!;

        Assert.Equal(["1"], await OrdersAsync());
        Assert.Equal(0, await DeadLettersAsync());
    }

    private Task? _second;

    /// <summary>Begins in the middle of the first one's transaction, and ends when that is over.</summary>
    private async Task HandleAsSecondProcessAsync(Paid paid, MessageContext context, CancellationToken cancellationToken)
    {
        var begun = new TaskCompletionSource();
        _second = Task.Run(
            async () =>
            {
                await using var db = _database!.Open();
                begun.SetResult();
                Assert.False(await db.HandleOnceAsync(
                    context,
                    token =>
                    {
                        db.Orders.Add(new() { Name = $"{paid.Number}" });
                        return Task.CompletedTask;
                    },
                    CancellationToken.None));
            },
            cancellationToken);
        await begun.Task;
    }

    [Fact]
    public async Task Effects_in_the_store_are_refused_because_a_crash_would_lose_them()
    {
        var host = await HostAsync(
            (paid, db, context, _) =>
            {
                db.Orders.Add(new() { Name = $"{paid.Number}" });
                context.Publish(_out, new Placed(paid.Number));
                return Task.CompletedTask;
            },
            maxAttempts: 1);
        await host.Publisher.PublishAsync(_stream, new Paid(1));

        await host.WhenSettledAsync(_stream, "billing");

        Assert.Empty(await OrdersAsync());
        Assert.Equal(1, await DeadLettersAsync());
        Assert.Empty(await _store!.RangeAsync(_out, new()));
    }

    /// <summary>The process dies at every step of handling: before and after each command of the database and each commit of the store.</summary>
    [Fact]
    public async Task Processes_that_die_at_every_step_have_the_effects_of_every_message_once()
    {
        const int steps = 14;
        const int each = 6;
        var publisher = await ConsumerHost.StartAsync(millrace => millrace.AddMessage<Paid>(), _store, instance: "publisher");
        _hosts.Add(publisher);
        for (var step = 1; step <= steps; step++)
        {
            for (var i = 0; i < each; i++)
                await publisher.Publisher.PublishAsync(_stream, new Paid((step * each) + i));
            var dies = new DeathAtStep(step);
            await HostAsync(AddAsync, dies: dies);
            await dies.Died.WaitAsync(Eventually.Deadline);
            await _hosts[^1].AbortAsync();
        }

        var last = await HostAsync(AddAsync);
        await last.WhenSettledAsync(_stream, "billing");
        await last.ReadAsync(_out, steps * each);

        var expected = Enumerable.Range(each, steps * each).ToList();
        Assert.Equal(expected, (await OrdersAsync()).Select(int.Parse).Order());
        var codec = last.Host.Services.GetRequiredService<MessageCodec>();
        await Eventually.TrueAsync("the outbox is empty", async () =>
        {
            await using var db = _database!.Open();
            return !await db.Outbox.AnyAsync();
        });
        Assert.Equal(expected, (await _store!.RangeAsync(_out, new())).Select(entry => ((Placed)codec.Decode(entry.Id, entry.Fields)).Number).Order());
        Assert.Equal(0, await DeadLettersAsync());

        Task AddAsync(Paid paid, ShopDb db, MessageContext context, CancellationToken cancellationToken)
        {
            db.Orders.Add(new() { Name = $"{paid.Number}" });
            db.Publish(_out, new Placed(paid.Number));
            return Task.CompletedTask;
        }
    }

    [Fact]
    public async Task Rows_older_than_the_window_are_deleted_and_younger_ones_stay()
    {
        await using (var db = _database!.Open())
        {
            db.Inbox.AddRange(new InboxRow("orders/billing", "old"), new InboxRow("orders/billing", "young"));
            await db.SaveChangesAsync();
            await db.Inbox.Where(row => row.MessageId == "old").ExecuteUpdateAsync(
                set => set.SetProperty(row => row.HandledAt, row => row.HandledAt.AddMinutes(-61)));
        }

        await HostAsync((_, _, _, _) => Task.CompletedTask, millrace => millrace.AddInbox<ShopDb>(options =>
        {
            options.Window = TimeSpan.FromHours(1);
            options.CleaningInterval = TimeSpan.FromMilliseconds(10);
        }));

        await Eventually.TrueAsync("the old row is deleted", async () =>
        {
            await using var db = _database.Open();
            return await db.Inbox.Select(row => row.MessageId).ToListAsync() is ["young"];
        });
    }

    /// <summary>A table that was never cleaned is deleted in pages.</summary>
    [Fact]
    public async Task Rows_that_are_old_are_all_deleted_however_many()
    {
        await using (var db = _database!.Open())
        {
            var old = TimeProvider.System.GetUtcNow().UtcDateTime.AddHours(-3);
            for (var i = 0; i < 2_500; i++)
            {
                var row = db.Inbox.Add(new("orders/billing", $"m{i}"));
                row.Property(one => one.HandledAt).CurrentValue = old.AddMilliseconds(i);
            }

            db.Inbox.Add(new("orders/billing", "young"));
            await db.SaveChangesAsync();
        }

        await HostAsync((_, _, _, _) => Task.CompletedTask, millrace => millrace.AddInbox<ShopDb>(options =>
            (options.Window, options.CleaningInterval) = (TimeSpan.FromHours(1), TimeSpan.FromMilliseconds(10))));

        await Eventually.TrueAsync("the old rows are deleted", async () =>
        {
            await using var db = _database.Open();
            return await db.Inbox.Select(row => row.MessageId).Take(2).ToListAsync() is ["young"];
        });
    }

    /// <summary>There were two cleaners, and the one with the shorter window made the inbox forget what the other one was told to keep.</summary>
    [Fact]
    public async Task Inbox_that_is_added_by_several_modules_has_one_cleaner_with_the_settings_of_all()
    {
        var host = await HostAsync((_, _, _, _) => Task.CompletedTask, millrace => millrace
            .AddInbox<ShopDb>(options => options.Window = TimeSpan.FromDays(30))
            .AddInbox<ShopDb>(options => options.CleaningInterval = TimeSpan.FromHours(1)));

        Assert.Single(host.Host.Services.GetServices<IHostedService>().OfType<InboxCleaner<ShopDb>>());
        var options = host.Host.Services.GetRequiredService<InboxSource>().Options;
        Assert.Equal((TimeSpan.FromDays(30), TimeSpan.FromHours(1)), (options.Window, options.CleaningInterval));
    }

    /// <summary>It used to be told as a matter of two transactions at once, and its cause was nowhere.</summary>
    [Fact]
    public async Task Row_that_the_database_refuses_fails_with_the_cause_and_the_handler_is_not_run()
    {
        var (failed, runs) = (new TaskCompletionSource<Exception?>(), 0);
        await using (var db = _database!.Open())
            await db.Database.ExecuteSqlRawAsync("ALTER TABLE millrace_inbox RENAME COLUMN handled_at TO moved");
        var host = await ConsumerHost.StartAsync(millrace => millrace.AddConsumer<Paid>(_stream, "billing", async (_, context, token) =>
        {
            await using var db = _database.Open();
            failed.TrySetResult(await Record.ExceptionAsync(() => db.HandleOnceAsync(
                context,
                _ =>
                {
                    runs++;
                    return Task.CompletedTask;
                },
                token)));
        }), _store);
        _hosts.Add(host);
        await host.Publisher.PublishAsync(_stream, new Paid(1));

        var exception = Assert.IsType<DbUpdateException>(await failed.Task.WaitAsync(Eventually.Deadline));
        Assert.Contains("handled_at", exception.InnerException!.Message, StringComparison.Ordinal);
        Assert.Equal(0, runs);
    }

    private async Task<ConsumerHost> HostAsync(
        Func<Paid, ShopDb, MessageContext, CancellationToken, Task> handler,
        Action<MillraceBuilder>? configure = null,
        int maxAttempts = 1_000,
        DeathAtStep? dies = null)
    {
        var host = await ConsumerHost.StartAsync(
            millrace =>
            {
                millrace.Services.AddDbContext<ShopDb>(context =>
                {
                    _database!.Configure(context);
                    if (dies is not null)
                        context.AddInterceptors(dies);
                });
                millrace.AddMessage<Placed>()
                    .AddOutbox<ShopDb>(outbox => (outbox.Name, outbox.Lease, outbox.RetryBaseDelay) =
                        (_out, TimeSpan.FromMilliseconds(200), TimeSpan.FromMilliseconds(5)))
                    .AddInboxConsumer(_stream, "billing", handler, options =>
                    {
                        (options.MaxAttempts, options.MaxDeliveries) = (maxAttempts, 1_000);
                        (options.RetryBaseDelay, options.RetryMaxDelay) = (TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(5));
                        options.Concurrency = 2;
                    });
                configure?.Invoke(millrace);
            },
            dies?.Wrap(_store!) ?? _store);
        _hosts.Add(host);
        return host;
    }

    private async Task<List<string>> OrdersAsync()
    {
        await using var db = _database!.Open();
        return await db.Orders.Select(order => order.Name).OrderBy(name => name).ToListAsync();
    }

    private async Task<int> DeadLettersAsync() => (await _store!.RangeAsync(StreamNames.DeadLetters(_stream, "billing"), new())).Count;
}
