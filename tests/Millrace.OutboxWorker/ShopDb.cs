using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Millrace.OutboxWorker;

/// <summary>A database of an application, with both tables.</summary>
public sealed class ShopDb(DbContextOptions<ShopDb> options) : DbContext(options)
{
    public DbSet<Order> Orders => Set<Order>();

    public DbSet<OutboxRow> Outbox => Set<OutboxRow>();

    public DbSet<InboxRow> Inbox => Set<InboxRow>();

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceOutbox().AddMillraceInbox();
}

public sealed class Order
{
    public long Id { get; set; }

    public required string Name { get; set; }
}

[Message("test.placed")]
public sealed record Placed(int Number, string Key = "");

[Message("test.paid")]
public sealed record Paid(int Number);
