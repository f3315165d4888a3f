using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Millrace.OutboxWorker;

/// <summary>A database of an application, with both tables.</summary>
public sealed class ShopDb(DbContextOptions<ShopDb> options) : DbContext(options)
{
    public DbSet<Order> Orders => Set<Order>();

    public DbSet<OutboxRow> Outbox => Set<OutboxRow>();

    public DbSet<InboxRow> Inbox => Set<InboxRow>();

    public DbSet<Total> Totals => Set<Total>();

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder
        .AddMillraceOutbox().AddMillraceInbox().AddMillraceProjections()
        .Entity<Total>().HasKey(total => new { total.Generation, total.Stream });
}

public sealed class Order
{
    public long Id { get; set; }

    public required string Name { get; set; }
}

/// <summary>A row of a read model.</summary>
public sealed class Total
{
    public required int Generation { get; set; }

    public required string Stream { get; set; }

    public long Sum { get; set; }

    public long Version { get; set; }
}

[Message("test.placed")]
public sealed record Placed(int Number, string Key = "");

[Message("test.paid")]
public sealed record Paid(int Number);
