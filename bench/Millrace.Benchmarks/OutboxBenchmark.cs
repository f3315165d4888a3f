using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.EntityFrameworkCore;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Benchmarks;

/// <summary>An outbox on PostgreSQL: transactions that write a row each, the relay of a backlog, and both at once.</summary>
internal static class OutboxBenchmark
{
    private const int Backlog = 20_000;
    private const int RowsPerSave = 500;
    private const int Transactions = 4_000;
    private const int Writers = 8;

    public static async Task RunAsync()
    {
        Console.WriteLine("## Outbox: rows of 200 bytes on PostgreSQL without fsync; journal and append-only file every second");
        Console.WriteLine();
        Report.Row(
            "store", "rows / s, relay of a backlog", $"transactions / s, {Writers} writers, no relay", "with the relay beside them",
            "of these relayed at the end");
        Report.Row("---", "---:", "---:", "---:", "---:");
        await using var postgres = await PostgresServer.StartAsync();
        for (var i = 0; i < Pairs.Count; i++)
        {
            using (var directory = new DiskDirectory())
                await MeasureAsync("embedded", postgres, millrace => millrace.UseEmbedded(directory.Path));
            await using (var server = await ServerProcess.StartRedisAsync("--appendonly", "yes", "--appendfsync", "everysec"))
                await MeasureAsync("redis-server", postgres, millrace => millrace.UseRedis($"127.0.0.1:{server.Port}"));
        }

        Console.WriteLine();
    }

    private static async Task MeasureAsync(string name, PostgresServer postgres, Action<MillraceBuilder> useStore)
    {
        var connection = await postgres.CreateDatabaseAsync();
        double alone;
        using (var writer = Build(connection, useStore, relays: false))
        {
            await using (var scope = writer.Services.CreateAsyncScope())
                await scope.ServiceProvider.GetRequiredService<BenchDb>().Database.EnsureCreatedAsync();
            await writer.StartAsync();
            await WriteAsync(writer, Writers);
            await WhenEmptyAsync(writer, delete: true);
            alone = await WriteAsync(writer, Transactions);
            await WhenEmptyAsync(writer, delete: true);
            await FillAsync(writer);
            await writer.StopAsync();
        }

        using var relay = Build(connection, useStore, relays: true);
        var start = Stopwatch.GetTimestamp();
        await relay.StartAsync();
        await WhenEmptyAsync(relay, delete: false);
        var backlog = Backlog / Stopwatch.GetElapsedTime(start).TotalSeconds;

        var beside = await WriteAsync(relay, Transactions);
        await using (var scope = relay.Services.CreateAsyncScope())
        {
            var left = await scope.ServiceProvider.GetRequiredService<BenchDb>().Set<OutboxRow>().CountAsync();
            Report.Row(name, backlog, alone, beside, $"{100.0 * (Transactions - left) / Transactions:N0} %");
        }

        await WhenEmptyAsync(relay, delete: false);
        var length = (await relay.Services.GetRequiredService<IStreamStore>().GetStreamInfoAsync(BenchHost.Stream))!.Length;
        if (length != Backlog + Transactions)
            throw new InvalidOperationException($"{length} messages were published, and not {Backlog + Transactions}.");
        await relay.StopAsync();
    }

    private static IHost Build(string connection, Action<MillraceBuilder> useStore, bool relays)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddDbContextPool<BenchDb>(options => options.UseNpgsql(connection));
        builder.Services.AddMillrace(millrace =>
        {
            useStore(millrace);
            millrace.AddMessage<BenchMessage>("bench.message", 1).AddOutbox<BenchDb>(outbox => (outbox.Name, outbox.RunsRelay) = ("bench", relays));
        });
        return builder.Build();
    }

    private static async Task FillAsync(IHost host)
    {
        for (var i = 0; i < Backlog; i += RowsPerSave)
        {
            await using var scope = host.Services.CreateAsyncScope();
            var db = scope.ServiceProvider.GetRequiredService<BenchDb>();
            for (var row = 0; row < RowsPerSave; row++)
                db.Publish(BenchHost.Stream, new BenchMessage(i + row, 0, BenchMessage.Filling));
            await db.SaveChangesAsync();
        }
    }

    /// <summary>Transactions a second.</summary>
    private static async Task<double> WriteAsync(IHost host, int transactions)
    {
        var start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(_ => Task.Run(async () =>
        {
            for (var i = 0; i < transactions / Writers; i++)
            {
                await using var scope = host.Services.CreateAsyncScope();
                var db = scope.ServiceProvider.GetRequiredService<BenchDb>();
                db.Publish(BenchHost.Stream, new BenchMessage(i, 0, BenchMessage.Filling));
                await db.SaveChangesAsync();
            }
        })));
        return transactions / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static async Task WhenEmptyAsync(IHost host, bool delete)
    {
        await using var scope = host.Services.CreateAsyncScope();
        var rows = scope.ServiceProvider.GetRequiredService<BenchDb>().Set<OutboxRow>();
        if (delete)
            await rows.ExecuteDeleteAsync();
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(2));
        while (await rows.AnyAsync())
            await timer.WaitForNextTickAsync();
    }

    private sealed class BenchDb(DbContextOptions<BenchDb> options) : DbContext(options)
    {
        protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceOutbox();
    }
}
