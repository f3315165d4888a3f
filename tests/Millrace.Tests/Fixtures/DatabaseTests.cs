using Microsoft.EntityFrameworkCore;
using Millrace.Sqlite;

namespace Millrace.Tests.Fixtures;

public sealed class DatabaseTests(SharedPostgres postgres)
{
    [Fact]
    public async Task Sqlite_of_the_tests_keeps_rows()
    {
        SqliteLibrary.Load();
        var file = Path.Combine(Directory.CreateTempSubdirectory("millrace-sqlite-").FullName, "rows.db");
        await KeepsRowsAsync(() => new DbContextOptionsBuilder<Rows>().UseSqlite($"Data Source={file};Pooling=False").Options);
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }

    [Fact]
    public async Task Postgres_of_the_tests_keeps_rows()
    {
        var connection = await (await postgres.StartedAsync()).CreateDatabaseAsync();
        await KeepsRowsAsync(() => new DbContextOptionsBuilder<Rows>().UseNpgsql(connection).Options);
    }

    [Fact]
    public async Task Postgres_that_was_killed_starts_again_with_what_was_committed()
    {
        await using var server = await PostgresServer.StartAsync();
        var connection = await server.CreateDatabaseAsync();
        await KeepsRowsAsync(() => new DbContextOptionsBuilder<Rows>().UseNpgsql(connection).Options);

        server.Kill();
        await server.StartAgainAsync();

        Npgsql.NpgsqlConnection.ClearAllPools();
        await using var rows = new Rows(new DbContextOptionsBuilder<Rows>().UseNpgsql(connection).Options);
        Assert.Equal("one", (await rows.All.SingleAsync()).Name);
    }

    private static async Task KeepsRowsAsync(Func<DbContextOptions<Rows>> options)
    {
        await using (var rows = new Rows(options()))
        {
            await rows.Database.EnsureCreatedAsync();
            rows.Add(new Row { Name = "one" });
            await rows.SaveChangesAsync();
        }

        await using var again = new Rows(options());
        Assert.Equal("one", (await again.All.SingleAsync()).Name);
    }

    public sealed class Rows(DbContextOptions<Rows> options) : DbContext(options)
    {
        public DbSet<Row> All => Set<Row>();
    }

    public sealed class Row
    {
        public long Id { get; set; }

        public required string Name { get; set; }
    }
}
