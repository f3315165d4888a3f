using System.Text.Json.Serialization;
using Millrace.Streams;

namespace Shop.Orders;

/// <summary>How far the payment of an order is.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<PaymentStage>))]
public enum PaymentStage
{
    Awaited,
    Paid,
    Failed,
    Refunded,
    GivenUp,
}

/// <summary>How far the goods of an order are.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<StockStage>))]
public enum StockStage
{
    Awaited,
    Reserved,
    Rejected,
    Released,
    GivenUp,
}

/// <summary>Something that happened to an order.</summary>
/// <param name="Type">The event's name.</param>
/// <param name="Stream">Where it stands.</param>
/// <param name="Time">When it was published.</param>
public sealed record OrderEvent(string Type, string Stream, DateTimeOffset Time);

/// <summary>An order as clients see it.</summary>
public sealed record OrderView
{
    public required string Id { get; init; }

    public OrderStatus Status { get; init; }

    public PaymentStage Payment { get; init; }

    public StockStage Stock { get; init; }

    /// <summary>Why the order did not complete.</summary>
    public string? Reason { get; init; }

    public string? Customer => Placed?.Customer;

    public decimal? Total => Placed?.Total;

    public IReadOnlyList<OrderLine>? Items => Placed?.Items;

    public string? Warehouse => Placed?.Warehouse;

    public DateTimeOffset? PlacedAt => Placed?.PlacedAt;

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Express => Placed?.Express ?? false;

    public string? CorrelationId { get; init; }

    /// <summary>The mail that told how the order ended, once it is out.</summary>
    public string? Mail { get; init; }

    /// <summary>What happened so far, as it was seen.</summary>
    public IReadOnlyList<OrderEvent> Events { get; init; } = [];

    [JsonIgnore]
    public OrderCreated? Placed { get; init; }

    /// <summary>Where <c>order.created</c> stands in its lane: the order of the list, since IDs are times.</summary>
    [JsonIgnore]
    public EntryId Position { get; init; }

    /// <summary>The number of the change that made this view; grows over all orders.</summary>
    [JsonIgnore]
    public long Change { get; init; }

    /// <summary>
    /// Whether nothing more will happen: every service answered, what a failed order took was given back, and the mail is out.
    /// </summary>
    [JsonIgnore]
    public bool IsSettled =>
        Status != OrderStatus.Processing && Mail is not null && Payment != PaymentStage.Awaited && Stock != StockStage.Awaited &&
        (Status == OrderStatus.Completed || (Payment != PaymentStage.Paid && Stock != StockStage.Reserved));
}

/// <summary>A page of <c>GET /orders</c>.</summary>
/// <param name="Orders">Newest first.</param>
/// <param name="Next">What to send as <c>before</c> for the page that follows; left out on the last one.</param>
public sealed record OrderPage(IReadOnlyList<OrderView> Orders, string? Next);
