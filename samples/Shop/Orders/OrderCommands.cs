using System.Text.Json.Serialization;
using Millrace;

namespace Shop.Orders;

/// <summary>What the checkout asks of the orders service: to end an order.</summary>
public interface IEndOrder
{
    /// <summary>The order.</summary>
    OrderCreated Order { get; }

    /// <summary>The event that ends it.</summary>
    [JsonIgnore]
    object End { get; }
}

/// <summary>Everything is paid and reserved.</summary>
/// <param name="Order">The order.</param>
[Message("order.complete")]
public sealed record CompleteOrder(OrderCreated Order) : IEndOrder
{
    [JsonIgnore]
    public object End => new OrderCompleted(Order.OrderId, Order.Customer, Order.Total);
}

/// <summary>The order failed, and what it took is given back.</summary>
/// <param name="Order">The order.</param>
/// <param name="Reason">Why, for the customer.</param>
[Message("order.cancel")]
public sealed record CancelOrder(OrderCreated Order, string Reason) : IEndOrder
{
    [JsonIgnore]
    public object End => new OrderCancelled(Order.OrderId, Order.Customer, Reason);
}

/// <summary>A service gave up on the order, and what it took is given back.</summary>
/// <param name="Order">The order.</param>
/// <param name="Service">The service.</param>
[Message("order.give-up")]
public sealed record GiveUpOrder(OrderCreated Order, string Service) : IEndOrder
{
    [JsonIgnore]
    public object End => new OrderDeadLettered(Order.OrderId, Order.Customer, Service);
}
