using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.EntityFrameworkCore;

namespace Millrace.OutboxWorker;

/// <summary>
/// An application that has Npgsql map times as before its version 6, a switch for all of a process. Makes the tables in an empty database, with a row of
/// the outbox that waits for an hour, and rows of an inbox that remembers for an hour: one is new, the other two hours old. Says how many seconds the outbox
/// says it has waited, and which rows of the inbox are left once the cleaning has deleted one.
/// </summary>
internal static class LegacyTimestamps
{
    public static async Task RunAsync(string database)
    {
        AppContext.SetSwitch("Npgsql.EnableLegacyTimestampBehavior", true);
        var builder = Host.CreateEmptyApplicationBuilder(new() { ApplicationName = "legacy" });
        builder.Services.AddDbContext<ShopDb>(options => options.UseNpgsql(database)).AddMillrace(millrace => millrace
            .UseMemory()
            .AddMessage<Placed>()
            .AddOutbox<ShopDb>(outbox => (outbox.Name, outbox.RunsRelay) = ("legacy", false))
            .AddInbox<ShopDb>(inbox => (inbox.Window, inbox.CleaningInterval) = (TimeSpan.FromHours(1), TimeSpan.FromMilliseconds(10))));
        using var host = builder.Build();
        await using var scope = host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
        await db.Database.EnsureCreatedAsync();
        db.Publish("placed", new Placed(1));
        await db.SaveChangesAsync();
        await db.Database.ExecuteSqlRawAsync("""
            UPDATE millrace_outbox SET created_at = created_at - interval '1 hour';
            INSERT INTO millrace_inbox (consumer, message_id) VALUES ('notes', 'new'), ('notes', 'old');
            UPDATE millrace_inbox SET handled_at = handled_at - interval '2 hours' WHERE message_id = 'old'
            """);

        await host.StartAsync();
        var status = await host.Services.GetRequiredService<Outbox<ShopDb>>().GetStatusAsync();
        List<string> left;
        do
        {
            await Task.Delay(TimeSpan.FromMilliseconds(20));
            left = await db.Database.SqlQueryRaw<string>("SELECT message_id AS \"Value\" FROM millrace_inbox").ToListAsync();
        }
        while (left.Count > 1);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(long)status.OldestAge.TotalSeconds} {string.Join(' ', left)}"));
        await host.StopAsync();
    }
}
