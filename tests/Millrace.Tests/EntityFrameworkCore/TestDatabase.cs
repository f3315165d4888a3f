using Microsoft.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Sqlite;
using Millrace.Tests.Fixtures;
using Npgsql;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>An empty database with the tables of <see cref="ShopDb"/>.</summary>
public sealed class TestDatabase : IAsyncDisposable
{
    private readonly DirectoryInfo? _directory;

    private TestDatabase(string connection, DirectoryInfo? directory) => (Connection, _directory) = (connection, directory);

    public string Connection { get; }

    public bool IsPostgres => _directory is null;

    public static async Task<TestDatabase> OnSqliteAsync()
    {
        SqliteLibrary.Load();
        var directory = Directory.CreateTempSubdirectory("millrace-sqlite-");

        // Without the pool, so that the file is free when the last context is gone.
        var database = new TestDatabase($"Data Source={Path.Combine(directory.FullName, "shop.db")};Pooling=False;Default Timeout=60", directory);
        await using var db = database.Open();
        await db.Database.EnsureCreatedAsync();
        await db.Database.ExecuteSqlRawAsync("PRAGMA journal_mode=WAL");
        return database;
    }

    public static async Task<TestDatabase> OnPostgresAsync(PostgresServer server)
    {
        var database = new TestDatabase(await server.CreateDatabaseAsync(), null);
        await using var db = database.Open();
        await db.Database.EnsureCreatedAsync();
        return database;
    }

    /// <summary>Points a context at the database.</summary>
    public void Configure(DbContextOptionsBuilder options)
    {
        if (IsPostgres)
            options.UseNpgsql(Connection);
        else
            options.UseSqlite(Connection);
    }

    /// <summary>A context of nobody's host: it knows no outbox.</summary>
    public ShopDb Open()
    {
        var options = new DbContextOptionsBuilder<ShopDb>();
        Configure(options);
        return new(options.Options);
    }

    public async ValueTask DisposeAsync()
    {
        if (_directory is not null)
        {
            // A host that was aborted may still be at its last command.
            await Eventually.TrueAsync("the folder of the database can be deleted", () => ValueTask.FromResult(TryDelete(_directory)));
            return;
        }

        // Its connections would count against the server's limit until they are old.
        await using var connection = new NpgsqlConnection(Connection);
        NpgsqlConnection.ClearPool(connection);
    }

    private static bool TryDelete(DirectoryInfo directory)
    {
        try
        {
            directory.Delete(recursive: true);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
