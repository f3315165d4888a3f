using System.Text.Json.Serialization;

namespace Shop.Driver;

/// <summary>What a run with orders found, in the order and under the names that scripts rely on.</summary>
public sealed record RunReport
{
    [JsonPropertyOrder(0)]
    public required string Store { get; init; }

    /// <summary>Orders that were answered with 202.</summary>
    [JsonPropertyOrder(1)]
    public required int Placed { get; init; }

    [JsonPropertyOrder(2)]
    public required int Completed { get; init; }

    [JsonPropertyOrder(3)]
    public required int Cancelled { get; init; }

    [JsonPropertyOrder(4)]
    public required int DeadLettered { get; init; }

    /// <summary>Placed orders whose end nobody was told of.</summary>
    [JsonPropertyOrder(5)]
    public required int Lost { get; init; }

    /// <summary>Effects outside the streams that happened more than once.</summary>
    [JsonPropertyOrder(6)]
    public required int DoubledEffects { get; init; }

    /// <summary>Whether the stock is what is left after the orders that completed.</summary>
    [JsonPropertyOrder(7)]
    public required bool StockBalanced { get; init; }

    /// <summary>Events handled by all groups for each second of the run.</summary>
    [JsonPropertyOrder(8)]
    public required long EventsPerSecond { get; init; }

    /// <summary>From the POST to the order's last event, the median, in milliseconds.</summary>
    [JsonPropertyOrder(9)]
    public required double P50Ms { get; init; }

    /// <summary>The same for the slowest hundredth.</summary>
    [JsonPropertyOrder(10)]
    public required double P99Ms { get; init; }
}
