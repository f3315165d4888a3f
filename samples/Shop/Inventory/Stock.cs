using System.Text.Json.Serialization;
using Millrace.Streams;

namespace Shop.Inventory;

/// <summary>What a warehouse has of a product: one state document each, made by the first order that takes from it.</summary>
/// <param name="Available">Units nobody has reserved.</param>
public sealed record StockLevel(int Available)
{
    /// <summary>Names the document.</summary>
    public static StateKey Key(string warehouse, string sku) => new(InventoryNames.Stream, $"stock/{warehouse}/{sku}");

    /// <summary>The level before the first order.</summary>
    public static StockLevel Initial(string sku) => new(Catalog.Find(sku)?.InitialStock ?? 0);
}

/// <summary>What became of an order's goods.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<ReservationStatus>))]
public enum ReservationStatus
{
    /// <summary>Taken from the stock.</summary>
    Reserved,

    /// <summary>Not enough there; nothing was taken.</summary>
    Rejected,

    /// <summary>Taken, and given back.</summary>
    Released,
}

/// <summary>What the inventory service remembers of an order: makes reserve and release safe any number of times.</summary>
/// <param name="Status">What became of the goods.</param>
/// <param name="Warehouse">Whose stock.</param>
/// <param name="Lines">What was taken.</param>
public sealed record Reservation(ReservationStatus Status, string Warehouse, IReadOnlyList<StockLine> Lines)
{
    /// <summary>Names the document.</summary>
    public static StateKey Key(string orderId) => new(InventoryNames.Stream, $"reservation/{orderId}");
}
