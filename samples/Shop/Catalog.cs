namespace Shop;

/// <summary>Something the shop sells.</summary>
/// <param name="Sku">What orders call it.</param>
/// <param name="Name">What customers call it.</param>
/// <param name="Price">For one, in euros.</param>
/// <param name="InitialStock">How many a warehouse holds before its first order.</param>
public sealed record Product(string Sku, string Name, decimal Price, int InitialStock);

/// <summary>What every service knows about the products. One record in it is damaged on purpose.</summary>
public static class Catalog
{
    /// <summary>The record is damaged: services fail on every order that has it, however often they try.</summary>
    public const string DamagedSku = "cursed-mirror";

    /// <summary>Three in stock: an order of more is always rejected.</summary>
    public const string ScarceSku = "moon-lamp";

    private static readonly Dictionary<string, Product> Products = new Product[]
    {
        new("tea", "Green tea, 100 g", 6.50m, 1_000_000),
        new("coffee", "Coffee beans, 500 g", 11.90m, 1_000_000),
        new("honey", "Heather honey", 8.20m, 1_000_000),
        new("bread", "Rye bread", 4.10m, 1_000_000),
        new("flour", "Stone-ground flour, 1 kg", 2.95m, 1_000_000),
        new("oats", "Rolled oats, 750 g", 3.40m, 1_000_000),
        new("salt", "Sea salt", 2.10m, 1_000_000),
        new("pepper", "Black pepper", 3.80m, 1_000_000),
        new("mug", "Stoneware mug", 14.00m, 1_000_000),
        new("teapot", "Cast-iron teapot", 49.00m, 1_000_000),
        new("kettle", "Copper kettle", 69.00m, 1_000_000),
        new("spoon", "Olive-wood spoon", 5.60m, 1_000_000),
        new(ScarceSku, "Moon lamp, last pieces", 89.00m, 3),
        new(DamagedSku, "Mirror (damaged record)", 1.00m, 1_000_000),
    }.ToDictionary(product => product.Sku);

    /// <summary>Everything the shop sells, in the order of the catalogue.</summary>
    public static IReadOnlyCollection<Product> All => Products.Values;

    /// <summary>The SKUs that sell without trouble.</summary>
    public static IReadOnlyList<string> PlentifulSkus { get; } =
        [.. All.Where(product => product.Sku is not (ScarceSku or DamagedSku)).Select(product => product.Sku)];

    /// <summary>The product, or <see langword="null"/> when the shop does not sell it.</summary>
    public static Product? Find(string sku) => Products.GetValueOrDefault(sku);

    /// <summary>Opens the record of every product of an order, as a service does before it has any effect.</summary>
    /// <exception cref="InvalidDataException">One of the records is damaged: the order is poisoned.</exception>
    public static void Open(IEnumerable<string> skus)
    {
        if (skus.Contains(DamagedSku))
            throw new InvalidDataException($"The catalogue record of '{DamagedSku}' is damaged.");
    }
}
