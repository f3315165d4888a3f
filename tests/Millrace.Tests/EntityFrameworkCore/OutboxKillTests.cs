using System.Diagnostics;
using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.OutboxWorker;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Npgsql;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>Processes and a PostgreSQL that are killed with SIGKILL while rows are written, relayed and handled.</summary>
public sealed class OutboxKillTests(SharedRedis redis)
{
    private const int Rounds = 5;

    private readonly string _stream = $"killed-{Guid.NewGuid():N}";

    [Fact]
    public async Task Every_committed_row_is_published_and_handled_once_when_processes_and_the_database_are_killed()
    {
        var random = new Random(Random.Shared.Next());
        var endpoint = (await redis.StartedAsync()).Endpoint;
        await using var postgres = await PostgresServer.StartAsync();
        await using var database = await TestDatabase.OnPostgresAsync(postgres);
        var written = 0;
        for (var round = 0; round < Rounds; round++)
        {
            using var first = Start(database.Connection, endpoint, "first", written += 100_000);
            using var second = Start(database.Connection, endpoint, "second", written += 100_000);
            await Task.WhenAll(ReadyAsync(first), ReadyAsync(second));
            await PublishedAsync(endpoint, more: random.Next(20, 60));
            await KillAsync(first);
            if (round % 2 == 0)
            {
                await postgres.KillAsync();
                await postgres.StartAgainAsync();
            }

            await PublishedAsync(endpoint, more: random.Next(1, 20));
            await KillAsync(second);
        }

        // Of the server that was killed.
        NpgsqlConnection.ClearAllPools();
        await using var store = new RedisStreamStore(RedisOptions.Parse(endpoint));
        await using var host = await ConsumerHost.StartAsync(millrace => Workload.AddTo(millrace, database.Connection, _stream), store, instance: "last");
        await Eventually.TrueAsync("all rows are relayed", async () =>
        {
            await using var db = database.Open();
            return !await db.Outbox.AnyAsync();
        });
        await host.WhenSettledAsync(_stream, "notes");
        var again = StreamNames.Again(_stream, "notes");
        await Eventually.TrueAsync("nothing waits for another attempt", async () =>
            (await store.GetScheduleAsync(again)).Count == 0 &&
            ((await store.GetGroupsAsync(again)).FirstOrDefault() is not { } retries || retries is { PendingCount: 0, Lag: 0 }));

        await CheckAsync(database, store, host.Host.Services.GetRequiredService<MessageCodec>());
    }

    private async Task CheckAsync(TestDatabase database, RedisStreamStore store, MessageCodec codec)
    {
        await using var db = database.Open();
        var names = await db.Orders.Select(order => order.Name).ToListAsync();
        var noted = names.Where(name => name.StartsWith(Workload.Noted, StringComparison.Ordinal))
            .Select(name => int.Parse(name[Workload.Noted.Length..], CultureInfo.InvariantCulture)).Order().ToList();
        var committed = names.Where(name => !name.StartsWith(Workload.Noted, StringComparison.Ordinal))
            .Select(name => int.Parse(name, CultureInfo.InvariantCulture)).Order().ToList();
        var published = (await store.RangeAsync(_stream, new() { Count = StreamLimits.MaxBatch }))
            .Select(entry => ((Placed)codec.Decode(entry.Id, entry.Fields)).Number).ToList();

        Assert.Equal(committed, published.Order());
        Assert.Equal(committed, noted);

        // Each process writes its numbers upwards, and each key in order.
        foreach (var key in published.GroupBy(number => (number / 100_000, number % 4)))
            Assert.Equal(key.Order(), key);
        Assert.DoesNotContain(committed, number => number % 5 == 4);
        Assert.Empty(await store.RangeAsync(StreamNames.DeadLetters(_stream, "notes"), new()));
    }

    /// <summary>Waits until so many more entries are in the stream.</summary>
    private async Task PublishedAsync(string endpoint, int more)
    {
        await using var store = new RedisStreamStore(RedisOptions.Parse(endpoint));
        var start = await LengthAsync();
        await Eventually.TrueAsync($"{more} more rows are published", async () => await LengthAsync() >= start + more);

        async Task<long> LengthAsync() => (await store.GetStreamInfoAsync(_stream))?.Length ?? 0;
    }

    private Process Start(string database, string endpoint, string instance, int number) => Process.Start(new ProcessStartInfo(
        "dotnet",
        [
            "exec", Path.Combine(AppContext.BaseDirectory, "Millrace.OutboxWorker.dll"), database, endpoint, _stream, instance,
            number.ToString(CultureInfo.InvariantCulture),
        ])
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
    })!;

    private static async Task ReadyAsync(Process process) =>
        Assert.Equal("ready", await process.StandardOutput.ReadLineAsync().WaitAsync(2 * Eventually.Deadline));

    private static async Task KillAsync(Process process)
    {
        process.Kill();
        await process.WaitForExitAsync();
    }
}
