using System.Text.Json.Serialization;
using Millrace;

namespace Shop.Orders;

/// <summary>What is asked of the orders service.</summary>
public interface IOrderCommand
{
    /// <summary>The order.</summary>
    OrderCreated Order { get; }

    /// <summary>The event that ends it; <see langword="null"/>: it begins.</summary>
    [JsonIgnore]
    object? End { get; }
}

/// <summary>The order was accepted.</summary>
/// <param name="Order">The order.</param>
[Message("order.place")]
public sealed record PlaceOrder(OrderCreated Order) : IOrderCommand
{
    [JsonIgnore]
    public object? End => null;
}

/// <summary>Everything is paid and reserved.</summary>
/// <param name="Order">The order.</param>
[Message("order.complete")]
public sealed record CompleteOrder(OrderCreated Order) : IOrderCommand
{
    [JsonIgnore]
    public object End => new OrderCompleted(Order.OrderId, Order.Customer, Order.Total);
}

/// <summary>The order failed, and what it took is given back.</summary>
/// <param name="Order">The order.</param>
/// <param name="Reason">Why, for the customer.</param>
[Message("order.cancel")]
public sealed record CancelOrder(OrderCreated Order, string Reason) : IOrderCommand
{
    [JsonIgnore]
    public object End => new OrderCancelled(Order.OrderId, Order.Customer, Reason);
}

/// <summary>A service gave up on the order, and what it took is given back.</summary>
/// <param name="Order">The order.</param>
/// <param name="Service">The service.</param>
[Message("order.give-up")]
public sealed record GiveUpOrder(OrderCreated Order, string Service) : IOrderCommand
{
    [JsonIgnore]
    public object End => new OrderDeadLettered(Order.OrderId, Order.Customer, Service);
}
