using System.Text.Json.Serialization;
using Millrace;

namespace Shop.Orders;

/// <summary>Names the orders service gives its streams, its group and its documents.</summary>
public static class OrderNames
{
    /// <summary>What happens to orders.</summary>
    public const string Stream = "orders";

    /// <summary>The group that moves orders on.</summary>
    public const string Group = "orders";

    /// <summary>The orders that were accepted, as commands to begin their histories.</summary>
    public const string Placing = "placing";

    /// <summary>The outbox of <see cref="OrdersDb"/>, named for good.</summary>
    public const string Outbox = "shop-orders";

    /// <summary>What the checkout asks of the services.</summary>
    public const string Checkout = "checkout";

    /// <summary>All events of all orders, in one order; those of one order are in a stream beside it, see <see cref="Order.Stream"/>.</summary>
    public const string Category = "{orders}:order";

    /// <summary>The lane of <see cref="Stream"/> for orders in a hurry: every group begins eight of them for each other one.</summary>
    public const string ExpressLane = "express";

    /// <summary>The stream of that lane.</summary>
    public const string Express = "{orders}:lane:express";

    /// <summary>Orders that payments gave up on.</summary>
    public const string DeadForPayments = "{orders}:dead:payments";

    /// <summary>Orders that inventory gave up on.</summary>
    public const string DeadForInventory = "{orders}:dead:inventory";
}

/// <summary>One line of an order.</summary>
/// <param name="Sku">The product.</param>
/// <param name="Quantity">How many; at least one.</param>
/// <param name="Price">For one, in euros.</param>
public sealed record OrderLine(string Sku, int Quantity, decimal Price);

/// <summary>An order was placed.</summary>
[Message("order.created", Version = 2)]
public sealed record OrderCreated
{
    public required string OrderId { get; init; }

    /// <summary>Who ordered: mails go to this address.</summary>
    public required string Customer { get; init; }

    public required IReadOnlyList<OrderLine> Items { get; init; }

    public required decimal Total { get; init; }

    /// <summary>What to charge, as the payment provider names it: <c>tok_declined</c> is always declined.</summary>
    public required string Card { get; init; }

    /// <summary>Where the goods come from. Each warehouse has its own stock.</summary>
    public required string Warehouse { get; init; }

    public required DateTimeOffset PlacedAt { get; init; }

    /// <summary>Whether the order is in a hurry.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Express { get; init; }
}

/// <summary>
/// The first version, still published by the old web shop: no prices, no card, one warehouse. Handlers never see it, because
/// <see cref="Upcast"/> turns it into the present version when it is read.
/// </summary>
[Message("order.created", Version = 1)]
public sealed record OrderCreatedV1
{
    public required string OrderId { get; init; }

    public string? Customer { get; init; }

    public required IReadOnlyList<OrderLineV1> Items { get; init; }

    public DateTimeOffset PlacedAt { get; init; }

    /// <summary>The same order in the present version; prices come from the catalogue.</summary>
    public OrderCreated Upcast()
    {
        OrderLine[] items = [.. Items.Select(line => line.Upcast())];
        return new()
        {
            OrderId = OrderId,
            Customer = Customer ?? OrderRequest.DefaultCustomer,
            Items = items,
            Total = items.Sum(line => line.Quantity * line.Price),
            Card = OrderRequest.DefaultCard,
            Warehouse = OrderRequest.DefaultWarehouse,
            PlacedAt = PlacedAt,
        };
    }
}

/// <summary>One line of an order of version 1.</summary>
/// <param name="ProductId">The product.</param>
/// <param name="Quantity">How many; at least one.</param>
public sealed record OrderLineV1(string ProductId, int Quantity)
{
    /// <summary>The same line in the present version.</summary>
    public OrderLine Upcast() => new(ProductId, Quantity, Catalog.Find(ProductId)?.Price ?? 0);
}

/// <summary>An order is paid and its goods are reserved. One of three ends.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Customer">Who ordered.</param>
/// <param name="Total">What was paid, in euros.</param>
[Message("order.completed")]
public sealed record OrderCompleted(string OrderId, string Customer, decimal Total);

/// <summary>An order failed for a reason that can happen every day; what it took is given back. One of three ends.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Customer">Who ordered.</param>
/// <param name="Reason">Why, for the customer.</param>
[Message("order.cancelled")]
public sealed record OrderCancelled(string OrderId, string Customer, string Reason);

/// <summary>A service gave up on an order; what it took is given back, and somebody has to look. One of three ends.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Customer">Who ordered.</param>
/// <param name="Service">The service that gave up first.</param>
[Message("order.deadlettered")]
public sealed record OrderDeadLettered(string OrderId, string Customer, string Service)
{
    /// <summary>Why it did not complete.</summary>
    [JsonIgnore]
    public string Reason => new OrderGivenUp(OrderId, Service).Reason;
}

/// <summary>An order ended in the dead letters of a service.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Service">The service.</param>
[Message("order.given-up")]
public sealed record OrderGivenUp(string OrderId, string Service)
{
    /// <summary>The same for people.</summary>
    [JsonIgnore]
    public string Reason => $"The {Service} service gave up on the order.";
}
