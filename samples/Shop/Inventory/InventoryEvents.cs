using Millrace;

namespace Shop.Inventory;

/// <summary>Names the inventory service gives its stream and its group.</summary>
public static class InventoryNames
{
    public const string Stream = "inventory";

    public const string Group = "inventory";
}

/// <summary>Units of one product.</summary>
/// <param name="Sku">The product.</param>
/// <param name="Quantity">How many.</param>
public sealed record StockLine(string Sku, int Quantity);

/// <summary>Goods were taken from the stock for an order.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Warehouse">Whose stock.</param>
/// <param name="Lines">What was taken, each product once.</param>
[Message("stock.reserved")]
public sealed record StockReserved(string OrderId, string Warehouse, IReadOnlyList<StockLine> Lines);

/// <summary>An order gets no goods; nothing was taken.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Reason">Why, for the customer.</param>
[Message("stock.rejected")]
public sealed record StockRejected(string OrderId, string Reason);

/// <summary>What was taken for an order went back.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Warehouse">Whose stock.</param>
/// <param name="Lines">What went back, each product once.</param>
[Message("stock.released")]
public sealed record StockReleased(string OrderId, string Warehouse, IReadOnlyList<StockLine> Lines);

/// <summary>The checkout asks to put back what was taken for an order.</summary>
/// <param name="OrderId">The order.</param>
[Message("stock.release")]
public sealed record ReleaseStock(string OrderId);
