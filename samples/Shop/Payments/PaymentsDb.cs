using Microsoft.EntityFrameworkCore;
using Millrace.EntityFrameworkCore;

namespace Shop.Payments;

/// <summary>What became of the payment of an order.</summary>
public enum PaymentState
{
    Charged,
    Refused,
    Refunded,
}

/// <summary>The payment of an order, in the ledger.</summary>
public sealed class Payment
{
    public required string OrderId { get; init; }

    public PaymentState State { get; set; }

    /// <summary>What was charged, in euros, also when it was given back.</summary>
    public required decimal Amount { get; init; }
}

/// <summary>The database of the payment service: its ledger, with the inbox and the outbox that keep it in step with the streams.</summary>
public sealed class PaymentsDb(DbContextOptions<PaymentsDb> options) : DbContext(options)
{
    public DbSet<Payment> Ledger => Set<Payment>();

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceOutbox().AddMillraceInbox()
        .Entity<Payment>().HasKey(payment => payment.OrderId);
}
