using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// NOTIFY and LISTEN of PostgreSQL. Notifications are sent after the commit, not in it: in a transaction they would make all commits of the database
/// wait for each
/// other.
/// </summary>
internal sealed class PostgreSqlWakeUp(string channel) : OutboxWakeUp
{
    // A router that forgets a connection in silence does so after minutes; until that is noticed, nobody is told of commits.
    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(30);

    public override Task SendAsync(DbContext db, CancellationToken cancellationToken) =>
        db.Database.ExecuteSqlAsync($"SELECT pg_notify({channel}, '')", cancellationToken);

    public override async Task ListenAsync(DbContext db, Action wake, CancellationToken cancellationToken)
    {
        // The connection of the context, so that every way to configure it works: strings, data sources, passwords that change.
        var connection = (NpgsqlConnection)db.Database.GetDbConnection();
        await db.Database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        connection.Notification += (_, _) => wake();
        var listen = connection.CreateCommand();
        await using (listen.ConfigureAwait(false))
        {
            listen.CommandText = $"LISTEN \"{channel}\"";
            await listen.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
        }

        wake();
        while (true)
        {
            if (!await connection.WaitAsync(QuietTime, cancellationToken).ConfigureAwait(false))
                await CheckAsync(connection, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Fails on a line that is dead.</summary>
    private static async Task CheckAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var check = connection.CreateCommand();
        await using (check.ConfigureAwait(false))
        {
            check.CommandText = "SELECT 1";
            await check.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}
