using System.Data;
using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;
using Millrace.Sqlite;

namespace Shop;

/// <summary>The services' own databases: SQLite files, which all processes on a data directory share.</summary>
internal static class Databases
{
    /// <summary>Adds a database, whose tables are there before the first message is handled or relayed.</summary>
    public static void AddDatabase<TDbContext>(this IServiceCollection services, string file)
        where TDbContext : DbContext
    {
        SqliteLibrary.Load();
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        services.AddDbContextPool<TDbContext>(context => context.UseSqlite($"Data Source={file}").AddInterceptors(new Turns()));
        services.AddHostedService<Creator<TDbContext>>();
    }

    /// <summary>
    /// Lets one context of the host use the database at a time. SQLite has one writer, and whoever waits for it inside of SQLite keeps a thread and comes
    /// on by chance.
    /// </summary>
    private sealed class Turns : DbConnectionInterceptor
    {
        // FULL: what is committed survives a power cut. The time-out is for other processes, which sync a transaction meanwhile.
        private const string Settings = "PRAGMA synchronous=FULL; PRAGMA busy_timeout=30000";

        private readonly SemaphoreSlim _turn = new(1, 1);

        // Whose turn it is. A connection may end in several ways, some of which no method here is called for.
        private DbConnection? _holder;

        public override InterceptionResult ConnectionOpening(DbConnection connection, ConnectionEventData eventData, InterceptionResult result)
        {
            _turn.Wait();
            Hold(connection);
            return result;
        }

        public override async ValueTask<InterceptionResult> ConnectionOpeningAsync(
            DbConnection connection, ConnectionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
        {
            await _turn.WaitAsync(cancellationToken);
            Hold(connection);
            return result;
        }

        public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData)
        {
            using var command = connection.CreateCommand();
            command.CommandText = Settings;
            command.ExecuteNonQuery();
        }

        // SQLite does nothing asynchronously.
        public override Task ConnectionOpenedAsync(
            DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
        {
            ConnectionOpened(connection, eventData);
            return Task.CompletedTask;
        }

        public override void ConnectionFailed(DbConnection connection, ConnectionErrorEventData eventData) => Release(connection);

        public override Task ConnectionFailedAsync(
            DbConnection connection, ConnectionErrorEventData eventData, CancellationToken cancellationToken = default)
        {
            Release(connection);
            return Task.CompletedTask;
        }

        public override void ConnectionCanceled(DbConnection connection, ConnectionEndEventData eventData) => Release(connection);

        public override Task ConnectionCanceledAsync(
            DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
        {
            Release(connection);
            return Task.CompletedTask;
        }

        private void Hold(DbConnection connection)
        {
            Volatile.Write(ref _holder, connection);
            connection.StateChange -= ReleaseClosed;
            connection.StateChange += ReleaseClosed;
        }

        private void ReleaseClosed(object sender, StateChangeEventArgs change)
        {
            if (change.CurrentState == ConnectionState.Closed)
                Release((DbConnection)sender);
        }

        private void Release(DbConnection connection)
        {
            if (Interlocked.CompareExchange(ref _holder, null, connection) == connection)
                _turn.Release();
        }
    }

    /// <summary>Makes the tables when the host starts. Of several processes that start at once the first one does; the others wait, and find them.</summary>
    private sealed class Creator<TDbContext>(IServiceScopeFactory scopes) : IHostedService
        where TDbContext : DbContext
    {
        public async Task StartAsync(CancellationToken cancellationToken)
        {
            await using var scope = scopes.CreateAsyncScope();
            var database = scope.ServiceProvider.GetRequiredService<TDbContext>().Database;
            await database.OpenConnectionAsync(cancellationToken);
            await database.ExecuteSqlRawAsync("PRAGMA journal_mode=WAL", cancellationToken);
            await using (var transaction = await database.BeginTransactionAsync(cancellationToken))
            {
                var tables = database.GetService<IRelationalDatabaseCreator>();
                if (!await tables.HasTablesAsync(cancellationToken))
                    await tables.CreateTablesAsync(cancellationToken);
                await transaction.CommitAsync(cancellationToken);
            }

            await database.CloseConnectionAsync();
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
