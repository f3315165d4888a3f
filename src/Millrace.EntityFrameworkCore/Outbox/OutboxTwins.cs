using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// Two outboxes of one process over one table. Their relays would publish every row twice for ever: what keeps relays from that is stored under the
/// outbox's name. Known without the database, whose row with the name keeps processes apart.
/// </summary>
internal static class OutboxTwins
{
    /// <exception cref="MillraceConfigurationException">There are such, with different names.</exception>
    public static void Check(IServiceProvider provider)
    {
        var sources = provider.GetServices<OutboxSource>().ToList();
        if (sources.Count < 2)
            return;
        using var scope = provider.CreateScope();
        foreach (var twins in sources.GroupBy(source => TableOf((DbContext)scope.ServiceProvider.GetRequiredService(source.ContextType))))
        {
            if (twins.Key is not null && twins.Select(source => source.Options.Name).Distinct(StringComparer.Ordinal).Count() > 1)
            {
                throw new MillraceConfigurationException([
                    $"The outboxes of {string.Join(" and ", twins.Select(source => source.ContextType.Name))} are one table, {twins.Key.Value.Table}, under " +
                    "different names: every row would be published twice. Give them one Name, or a table each."]);
            }
        }
    }

    /// <summary>Where the rows are, as far as that is known without asking the database.</summary>
    private static (string Connection, string Table)? TableOf(DbContext db) =>
        db.Database.IsRelational() && db.Database.GetConnectionString() is { } connection &&
        db.Model.FindEntityType(typeof(OutboxRow))?.GetSchemaQualifiedTableName() is { } table
            ? (connection, table)
            : null;
}
