using System.Diagnostics;
using System.Globalization;
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
        var random = new Random(Slice.SeedOf("MILLRACE_OUTBOX_SEED"));
        var endpoint = (await redis.StartedAsync()).Endpoint;
        await using var postgres = await PostgresServer.StartAsync();
        await using var database = await TestDatabase.OnPostgresAsync(postgres);
        var written = 0;
        for (var round = 0; round < Rounds; round++)
        {
            using var first = Start(database.Connection, endpoint, "first", written += WorkloadCheck.NumbersOfProcess);
            using var second = Start(database.Connection, endpoint, "second", written += WorkloadCheck.NumbersOfProcess);
            await Task.WhenAll(ReadyAsync(first), ReadyAsync(second));
            await PublishedAsync(endpoint, more: random.Next(20, 60));
            await KillAsync(first);
            if (round % 2 == 0)
            {
                postgres.Kill();
                await postgres.StartAgainAsync();
            }

            await PublishedAsync(endpoint, more: random.Next(1, 20));
            await KillAsync(second);
        }

        // Of the server that was killed.
        NpgsqlConnection.ClearAllPools();
        await using var store = new RedisStreamStore(RedisOptions.Parse(endpoint));
        await using var host = await ConsumerHost.StartAsync(millrace => Workload.AddTo(millrace, database.Connection, _stream), store, instance: "last");
        await WorkloadCheck.SettledAsync(database.Open, store, _stream);
        await WorkloadCheck.CheckAsync(database.Open, store, host.Host.Services.GetRequiredService<MessageCodec>(), _stream);
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
