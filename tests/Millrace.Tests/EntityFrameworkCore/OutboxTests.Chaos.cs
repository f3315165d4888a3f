using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>Everything at once, from the seed <c>MILLRACE_OUTBOX_SEED</c> or a new one: a tenth of the slice each.</summary>
public abstract partial class OutboxTests
{
    /// <summary>
    /// Three hosts write, relay and handle what was relayed, each on lines of its own that fail; one after the other is aborted, and its relay goes on
    /// in the
    /// background for a while, as one does that was frozen. In the end what was committed was published once, in the order of its key, and handled once.
    /// </summary>
    [Fact]
    public async Task What_was_committed_is_published_and_handled_once_while_lines_fail_and_hosts_die()
    {
        const int writers = 3;
        var seed = Slice.SeedOf("MILLRACE_OUTBOX_SEED");
        List<UnreliableLine> lines = [];
        var random = new Random(seed);
        var hosts = new ConsumerHost[writers];
        for (var writer = 0; writer < writers; writer++)
            hosts[writer] = await StartAsync();
        using var end = new CancellationTokenSource(Slice.Of(0.1));
        var writing = Enumerable.Range(0, writers).Select(writer => Task.Run(async () =>
        {
            for (var number = 0; !end.IsCancellationRequested; number++)
                await TryWriteAsync(Volatile.Read(ref hosts[writer]), writer, number);
        })).ToList();
        while (!end.IsCancellationRequested)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(100, 400)), end.Token)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            var victim = random.Next(writers);
            var killed = hosts[victim];
            Volatile.Write(ref hosts[victim], await StartAsync());
            await killed.AbortAsync();
        }

        await Task.WhenAll(writing);
        lines.ForEach(line => line.Heal());
        await WhenRelayedAsync();
        await hosts[0].WhenSettledAsync(_stream, "notes");
        var again = StreamNames.Again(_stream, "notes");
        await Eventually.TrueAsync($"no retry is left, seed {seed}", async () => (await _store!.GetScheduleAsync(again)).Count == 0 &&
            ((await _store.GetGroupsAsync(again)).FirstOrDefault() is not { } retries || retries is { PendingCount: 0, Lag: 0 }));

        await CheckAsync(hosts[0], seed);
        Assert.True(lines.Sum(line => line.Faults) > 0, $"seed {seed}: no line failed");

        Task<ConsumerHost> StartAsync()
        {
            lines.Add(new(random.Next()));
            return ChaosHostAsync(lines[^1]);
        }
    }

    private Task<ConsumerHost> ChaosHostAsync(UnreliableLine line) => HostAsync(
        options => (options.BatchSize, options.PollInterval, options.RetryMaxDelay) = (9, TimeSpan.FromMilliseconds(200), TimeSpan.FromMilliseconds(50)),
        millrace => millrace.AddInboxConsumer<ShopDb, Placed>(
            _stream,
            "notes",
            static (placed, db, _, _) =>
            {
                db.Orders.Add(new() { Name = $"noted {placed.Key} {placed.Number}" });
                return Task.CompletedTask;
            },
            static options =>
            {
                (options.MaxAttempts, options.MaxDeliveries, options.Concurrency) = (1_000, 1_000, 2);
                options.Lease = TimeSpan.FromSeconds(1);
                (options.RetryBaseDelay, options.RetryMaxDelay) = (TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(50));
            }),
        line: line);

    private async Task TryWriteAsync(ConsumerHost host, int writer, int number)
    {
        try
        {
            await using var scope = host.Host.Services.CreateAsyncScope();
            var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
            await using var transaction = await db.Database.BeginTransactionAsync();
            db.Orders.Add(new() { Name = $"{writer} {number}" });
            db.Publish(_stream, new Placed(number, $"{writer}"), new() { PartitionKey = $"{writer}" });
            await db.SaveChangesAsync();
            if (number % 4 != 3)
                await transaction.CommitAsync();
        }
        catch (Exception exception) when (exception is not Xunit.Sdk.IAssertionException)
        {
            // Whether it was committed is for the rows to say: the line broke, or the host died.
            await Task.Yield();
        }
    }

    private async Task CheckAsync(ConsumerHost host, int seed)
    {
        const string noted = "noted ";
        await using var db = _database!.Open();
        var names = await db.Orders.Select(order => order.Name).ToListAsync();
        var published = Messages(host, await _store!.RangeAsync(_stream, new() { Count = StreamLimits.MaxBatch }));
        var committed = names.Where(name => !name.StartsWith(noted, StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToList();

        Assert.True(committed.Count > 0, $"seed {seed}: nothing was committed");
        Assert.Equal(committed, published.Select(one => $"{one.Key} {one.Number}").Order(StringComparer.Ordinal));
        Assert.Equal(
            committed,
            names.Where(name => name.StartsWith(noted, StringComparison.Ordinal)).Select(name => name[noted.Length..]).Order(StringComparer.Ordinal));
        foreach (var key in published.GroupBy(one => one.Key))
            Assert.Equal(key.Select(one => one.Number).Order(), key.Select(one => one.Number));
        Assert.Empty(await _store.RangeAsync(StreamNames.DeadLetters(_stream, "notes"), new()));
    }
}
