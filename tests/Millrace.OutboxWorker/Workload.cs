using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;

namespace Millrace.OutboxWorker;

/// <summary>What the processes do: orders with an outbox row each, some of them rolled back; and a consumer that notes each order once, with an
/// inbox.</summary>
public static class Workload
{
    // Enough keys for rows of one to be in flight with those of others.
    public const int Keys = 4;

    /// <summary>The consumer's group.</summary>
    public const string Group = "notes";

    /// <summary>How the noted orders are named.</summary>
    public const string Noted = "noted ";

    /// <summary>Adds outbox, inbox and consumer to a process.</summary>
    public static MillraceBuilder AddTo(MillraceBuilder millrace, string database, string stream) =>
        AddOutboxTo(millrace, options => options.UseNpgsql(database), stream).AddInboxConsumer<ShopDb, Placed>(
            stream,
            Group,
            static (placed, db, _, _) =>
            {
                db.Orders.Add(new() { Name = $"{Noted}{placed.Number.ToString(CultureInfo.InvariantCulture)}" });
                return Task.CompletedTask;
            },
            static options =>
            {
                // Nothing may end in the dead letters: failures are those of the database, and deaths are ours.
                (options.MaxAttempts, options.MaxDeliveries) = (1_000, 1_000);
                (options.Lease, options.RetryMaxDelay) = (TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(200));
            });

    /// <summary>Adds the outbox.</summary>
    public static MillraceBuilder AddOutboxTo(
        MillraceBuilder millrace, Action<DbContextOptionsBuilder> database, string stream, Action<OutboxOptions>? configure = null)
    {
        millrace.Services.AddDbContext<ShopDb>(database);
        return millrace.AddMessage<Placed>().AddOutbox<ShopDb>(outbox =>
        {
            (outbox.Name, outbox.BatchSize) = (stream, 10);
            (outbox.Lease, outbox.RetryBaseDelay, outbox.RetryMaxDelay) =
                (TimeSpan.FromMilliseconds(300), TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(200));
            configure?.Invoke(outbox);
        });
    }

    /// <summary>One transaction: an order and its message. Every fifth is rolled back.</summary>
    /// <returns>Whether it is known to be committed.</returns>
    public static async Task<bool> WriteAsync(IServiceProvider services, string stream, int number)
    {
        try
        {
            await using var scope = services.CreateAsyncScope();
            var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
            await using var transaction = await db.Database.BeginTransactionAsync();
            db.Orders.Add(new() { Name = number.ToString(CultureInfo.InvariantCulture) });
            db.Publish(stream, new Placed(number), new() { PartitionKey = (number % Keys).ToString(CultureInfo.InvariantCulture) });
            await db.SaveChangesAsync();
            if (number % 5 == 4)
                return false;
            await transaction.CommitAsync();
            return true;
        }
        catch (Exception exception) when (exception is DbUpdateException or Npgsql.NpgsqlException or InvalidOperationException)
        {
            // The database is being killed. Whether this one was committed is for the rows to say.
            await Task.Delay(TimeSpan.FromMilliseconds(20));
            return false;
        }
    }
}
