namespace Shop.Orders;

/// <summary>The body of <c>POST /orders</c>.</summary>
public sealed record OrderRequest
{
    /// <summary>Who ordered, when the client does not say.</summary>
    public const string DefaultCustomer = "guest@shop.example";

    /// <summary>What is charged, when the client does not say.</summary>
    public const string DefaultCard = "tok_visa";

    /// <summary>The card that is always declined.</summary>
    public const string DeclinedCard = "tok_declined";

    /// <summary>Where goods come from, when the client does not say.</summary>
    public const string DefaultWarehouse = "main";

    /// <summary>Characters of a name.</summary>
    public const int MaxTextLength = 100;

    private const int MaxItems = 50;
    private const int MaxQuantity = 100_000;
    private const decimal MaxPrice = 1_000_000;

    public string? Customer { get; init; }

    public IReadOnlyList<Item?>? Items { get; init; }

    public string? Card { get; init; }

    public string? Warehouse { get; init; }

    /// <summary>Whether the order is in a hurry. Default: no.</summary>
    public bool? Express { get; init; }

    /// <summary>One line of the request.</summary>
    /// <param name="Sku">The product.</param>
    /// <param name="Quantity">How many.</param>
    /// <param name="Price">For one, in euros. Default: the catalogue's.</param>
    public sealed record Item(string? Sku, int? Quantity, decimal? Price)
    {
        /// <summary>The line of an item that is valid.</summary>
        public OrderLine ToLine() => new(Sku!, Quantity!.Value, Price ?? Catalog.Find(Sku!)!.Price);
    }

    /// <summary>Everything that is wrong with the request, by JSON path; empty when it can be placed.</summary>
    public Dictionary<string, string[]> Validate()
    {
        var errors = new Dictionary<string, string[]>();
        CheckText(errors, "customer", Customer);
        CheckText(errors, "card", Card);
        CheckText(errors, "warehouse", Warehouse);
        if (Items is not { Count: >= 1 and <= MaxItems })
        {
            errors["items"] = [$"An order has 1 to {MaxItems} items."];
            return errors;
        }

        for (var i = 0; i < Items.Count; i++)
            CheckItem(errors, $"items[{i}]", Items[i]);
        return errors;
    }

    /// <summary>The event of a request that is valid.</summary>
    public OrderCreated ToEvent(string orderId, DateTimeOffset placedAt)
    {
        OrderLine[] lines = [.. Items!.Select(item => item!.ToLine())];
        return new()
        {
            OrderId = orderId,
            Customer = Customer ?? DefaultCustomer,
            Items = lines,
            Total = lines.Sum(line => line.Quantity * line.Price),
            Card = Card ?? DefaultCard,
            Warehouse = Warehouse ?? DefaultWarehouse,
            PlacedAt = placedAt,
            Express = Express ?? false,
        };
    }

    private static void CheckItem(Dictionary<string, string[]> errors, string path, Item? item)
    {
        if (item?.Sku is not { } sku)
            errors[$"{path}.sku"] = ["Name the product."];
        else if (Catalog.Find(sku) is null)
            errors[$"{path}.sku"] = [$"The shop does not sell '{Shorten(sku)}'. GET /catalog lists what it sells."];

        if (item?.Quantity is not (>= 1 and <= MaxQuantity))
            errors[$"{path}.quantity"] = [$"Order 1 to {MaxQuantity}, not {item?.Quantity?.ToString() ?? "nothing"}."];
        if (item?.Price is < 0 or > MaxPrice)
            errors[$"{path}.price"] = [$"A price is 0 to {MaxPrice}, not {item.Price}."];
    }

    private static void CheckText(Dictionary<string, string[]> errors, string path, string? text)
    {
        if (text is { Length: 0 or > MaxTextLength } || text?.Any(char.IsControl) == true)
            errors[path] = [$"Use 1 to {MaxTextLength} characters without line breaks, or leave it out."];
    }

    private static string Shorten(string text) => text.Length <= MaxTextLength ? text : text[..MaxTextLength] + "…";
}

/// <summary>The answer to <c>POST /orders</c>: the order is stored and on its way.</summary>
/// <param name="Id">The order.</param>
/// <param name="Status">Always <see cref="OrderStatus.Processing"/>.</param>
public sealed record OrderAccepted(string Id, OrderStatus Status);
