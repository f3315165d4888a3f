using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Shop.Orders;

/// <summary>An order as it was accepted, before its history begins.</summary>
public sealed class AcceptedOrder
{
    /// <summary>Given by the database; grows.</summary>
    public long Number { get; private set; }

    public required string OrderId { get; init; }

    public required string Customer { get; init; }

    public required string CorrelationId { get; init; }

    public required OrderCreated Placed { get; init; }
}

/// <summary>The database of the orders service: what it accepted, and the outbox by which that gets to the streams.</summary>
public sealed class OrdersDb(DbContextOptions<OrdersDb> options) : DbContext(options)
{
    public DbSet<AcceptedOrder> Accepted => Set<AcceptedOrder>();

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceOutbox().Entity<AcceptedOrder>(order =>
    {
        order.HasKey(one => one.Number);
        order.HasIndex(one => one.OrderId).IsUnique();
        order.HasIndex(one => one.Customer);
        order.Property(one => one.Placed).HasConversion(
            placed => JsonSerializer.Serialize(placed, ShopJson.Default.OrderCreated),
            text => JsonSerializer.Deserialize(text, ShopJson.Default.OrderCreated)!);
    });
}
