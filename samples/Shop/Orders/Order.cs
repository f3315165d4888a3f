using System.Text.Json.Serialization;
using Millrace.Streams;

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

/// <summary>What another service said about an order.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<Answer>))]
public enum Answer
{
    Awaited,
    Yes,
    No,
}

/// <summary>
/// The order as the orders service keeps it, one state document each. Facts arrive in any order, even before the order itself when
/// somebody else published it, so each is written down and <see cref="Decide"/> looks at all of them.
/// </summary>
public sealed record Order
{
    public required string Id { get; init; }

    /// <summary>What was ordered; <see langword="null"/> until <c>order.created</c> was seen.</summary>
    public OrderCreated? Placed { get; init; }

    public string? CorrelationId { get; init; }

    public Answer Payment { get; init; }

    public Answer Stock { get; init; }

    public OrderStatus Status { get; init; }

    /// <summary>Why the order did not complete.</summary>
    public string? Reason { get; init; }

    /// <summary>The service that gave up on the order.</summary>
    public string? GivenUpBy { get; init; }

    public bool HasEnded => Status != OrderStatus.Processing;

    /// <summary>Names the document of an order.</summary>
    public static StateKey Key(string orderId) => new(OrderNames.Stream, $"order/{orderId}");

    /// <summary>The same order with the end that follows from what is known, if one does.</summary>
    public Order Decide() => this switch
    {
        { HasEnded: true } or { Placed: null } => this,
        { GivenUpBy: not null } => this with
        {
            Status = OrderStatus.DeadLettered,
            Reason = $"The {GivenUpBy} service gave up on the order.",
        },
        { Payment: Answer.No } or { Stock: Answer.No } => this with { Status = OrderStatus.Cancelled },
        { Payment: Answer.Yes, Stock: Answer.Yes } => this with { Status = OrderStatus.Completed },
        _ => this,
    };
}
