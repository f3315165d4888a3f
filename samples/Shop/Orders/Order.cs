using System.Text.Json.Serialization;
using Millrace.EventSourcing;

namespace Shop.Orders;

/// <summary>Where an order stands.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<OrderStatus>))]
public enum OrderStatus
{
    Processing,
    Completed,
    Cancelled,
    DeadLettered,
}

/// <summary>
/// The order as its events make it. They are kept in a stream of its own, copies of all in the category; the services hear of them by the
/// messages that leave in the same commits.
/// </summary>
/// <param name="Placed">What was ordered; <see langword="null"/> before the first event.</param>
/// <param name="Status">Where it stands.</param>
/// <param name="Reason">Why it did not complete.</param>
public sealed record Order(OrderCreated? Placed, OrderStatus Status, string? Reason)
{
    public static EventFold<Order> Fold { get; } = new(
        () => new Order(null, OrderStatus.Processing, null),
        (order, one) => one switch
        {
            OrderCreated placed => order with { Placed = placed },
            OrderCompleted => order with { Status = OrderStatus.Completed },
            OrderCancelled cancelled => order with { Status = OrderStatus.Cancelled, Reason = cancelled.Reason },
            OrderDeadLettered dead => order with { Status = OrderStatus.DeadLettered, Reason = dead.Reason },
            _ => order,
        });

    /// <summary>An order begins once and ends once. One that others published begins when it ends.</summary>
    public static Decider<Order, IOrderCommand> Decider { get; } = new(
        (order, command) =>
        [
            .. order.Placed is null ? [command.Order] : Array.Empty<object>(),
            .. order.Status == OrderStatus.Processing && command.End is { } end ? [end] : Array.Empty<object>(),
        ],
        Fold);

    /// <summary>The stream of an order's events. An ID that others made up may hold anything.</summary>
    public static string Stream(string orderId) => $"{OrderNames.Category}-{Uri.EscapeDataString(orderId)}";
}
