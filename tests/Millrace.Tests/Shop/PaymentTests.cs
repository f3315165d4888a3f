using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;
using Millrace.Sqlite;
using Millrace.Streams;
using Millrace.Testing;
using Shop;
using Shop.Fakes;
using Shop.Orders;
using Shop.Payments;

namespace Millrace.Tests.Shop;

/// <summary>The payment service by itself: its ledger, and what it says, when messages come more than once.</summary>
public sealed class PaymentTests : IDisposable
{
    private static readonly OrderCreated Placed = new OrderRequest { Items = [new("tea", 2, null)] }.ToEvent("o-1", DateTimeOffset.UnixEpoch);

    private readonly ShopDirectory _directory = new();

    private string Books => Path.Combine(_directory.Data, PaymentProvider.FileName);

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Messages_that_come_again_charge_and_refund_once_and_are_told_again_what_the_ledger_says()
    {
        await using var host = await StartAsync();
        var again = new PublishOptions { MessageId = "refund-1" };

        await host.PublishAsync(OrderNames.Stream, Placed, new() { MessageId = "order-1" });
        await host.WhenIdleAsync();
        await host.PublishAsync(OrderNames.Stream, Placed, new() { MessageId = "order-1" });
        await host.PublishAsync(OrderNames.Stream, Placed);
        await host.WhenIdleAsync();
        await host.PublishAsync(OrderNames.Checkout, new RefundPayment("o-1"), again);
        await host.PublishAsync(OrderNames.Checkout, new RefundPayment("o-1"), again);
        await host.WhenIdleAsync();
        await host.PublishAsync(OrderNames.Checkout, new RefundPayment("o-1"));
        await host.WhenIdleAsync();
        await host.PublishAsync(OrderNames.Stream, Placed);
        await host.WhenIdleAsync();

        await using var scope = host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<PaymentsDb>();
        var payment = Assert.Single(await db.Ledger.ToListAsync());
        Assert.Equal(("o-1", PaymentState.Refunded, 13m), (payment.OrderId, payment.State, payment.Amount));
        var told = await ToldAsync(db);
        string[] paid = ["payment.completed", "payment.completed", "payment.completed"];
        string[] refunded = ["payment.refunded", "payment.refunded", "payment.refunded"];
        Assert.Equal([.. paid, .. refunded, "payment.failed"], told.Select(one => one.Type));
        Assert.Single(told[..3].GroupBy(one => one.MessageId), same => same.Count() == 2);
        Assert.Single(told[3..6].GroupBy(one => one.MessageId), same => same.Count() == 2);
        Assert.Single(File.ReadLines(Books), line => line.Contains("\"kind\":\"charge\",\"orderId\":\"o-1\",\"applied\":true", StringComparison.Ordinal));
    }

    /// <summary>The checkout waits for an answer, and a charge that comes later is refused.</summary>
    [Fact]
    public async Task Refund_of_an_order_that_was_not_charged_is_answered_and_keeps_it_from_being_charged()
    {
        await using var host = await StartAsync();

        await host.PublishAsync(OrderNames.Checkout, new RefundPayment("o-1"));
        await host.WhenIdleAsync();
        await host.PublishAsync(OrderNames.Checkout, new RefundPayment("o-1"));
        await host.WhenIdleAsync();
        await host.PublishAsync(OrderNames.Stream, Placed);
        await host.WhenIdleAsync();

        await using var scope = host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<PaymentsDb>();
        Assert.Equal(PaymentState.Refused, Assert.Single(await db.Ledger.ToListAsync()).State);
        Assert.Equal(["payment.failed", "payment.failed", "payment.failed"], (await ToldAsync(db)).Select(one => one.Type));
        Assert.DoesNotContain(File.ReadLines(Books), line => line.Contains("\"applied\":true", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Declined_card_is_in_the_ledger_and_told()
    {
        await using var host = await StartAsync();

        await host.PublishAsync(OrderNames.Stream, Placed with { Card = OrderRequest.DeclinedCard });
        await host.WhenIdleAsync();

        await using var scope = host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<PaymentsDb>();
        Assert.Equal(PaymentState.Refused, Assert.Single(await db.Ledger.ToListAsync()).State);
        Assert.Equal("payment.failed", Assert.Single(await ToldAsync(db)).Type);
    }

    /// <summary>Rows that nobody relays stay in the outbox.</summary>
    private static async Task<MessageHeaders[]> ToldAsync(PaymentsDb db) =>
        [.. (await db.Set<OutboxRow>().OrderBy(row => row.Id).ToListAsync()).Select(row => new MessageHeaders(default, EntryFields.FromPacked(row.Fields)))];

    private async Task<MillraceTestHost> StartAsync()
    {
        SqliteLibrary.Load();
        Directory.CreateDirectory(_directory.Data);
        var connection = $"Data Source={Path.Combine(_directory.Path, "payments.db")};Pooling=False";
        var host = await MillraceTestHost.StartAsync(
            millrace => millrace
                .UseJson(ShopJson.Default)
                .AddMessage<OrderCreated>().AddMessage<RefundPayment>()
                .AddMessage<PaymentCompleted>().AddMessage<PaymentFailed>().AddMessage<PaymentRefunded>()
                .AddInbox<PaymentsDb>()
                .AddOutbox<PaymentsDb>(outbox => (outbox.Name, outbox.RunsRelay) = (PaymentNames.Outbox, false))
                .AddConsumer<PaymentHandlers, OrderCreated>(
                    OrderNames.Stream, PaymentNames.Group, (handlers, order, context, token) => handlers.ChargeAsync(order, context, token))
                .AddConsumer<PaymentHandlers, RefundPayment>(
                    OrderNames.Checkout, PaymentNames.Group, (handlers, command, context, token) => handlers.RefundAsync(command, context, token)),
            services => services
                .AddSingleton(new PaymentProvider(_directory.Data, TimeProvider.System))
                .AddDbContext<PaymentsDb>(options => options.UseSqlite(connection)));
        await using var scope = host.Services.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PaymentsDb>().Database.EnsureCreatedAsync();
        return host;
    }
}
