using Shop.Orders;

namespace Shop.Driver;

/// <summary>Draws the orders of a run: the same for the same seed, so that the same ones complete whatever happens.</summary>
internal static class OrderMix
{
    private const int PoisonedOrders = 3;
    private const double DeclinedShare = 0.08;
    private const double ScarceShare = 0.06;
    private const int OneExpressIn = 10;

    public static IReadOnlyList<OrderRequest> Draw(int count, int seed, string warehouse)
    {
        var random = new Random(seed);
        var indices = Enumerable.Range(0, count).ToArray();
        random.Shuffle(indices);
        var poisoned = indices.Take(PoisonedOrders).ToHashSet();
        return [.. Enumerable.Range(0, count).Select(
            i => DrawOne(random, poisoned.Contains(i), warehouse) with { Express = i % OneExpressIn == 0 ? true : null })];
    }

    private static OrderRequest DrawOne(Random random, bool isPoisoned, string warehouse)
    {
        var items = Enumerable.Range(0, random.Next(1, 4))
            .Select(_ => new OrderRequest.Item(Catalog.PlentifulSkus[random.Next(Catalog.PlentifulSkus.Count)], random.Next(1, 5), null))
            .ToList();
        var share = random.NextDouble();
        if (isPoisoned)
            items.Add(new(Catalog.DamagedSku, 1, null));
        else if (share is >= DeclinedShare and < DeclinedShare + ScarceShare)
            items.Add(new(Catalog.ScarceSku, 5, null));

        return new()
        {
            Customer = $"customer-{random.Next(1, 400)}@shop.example",
            Items = items,
            Card = !isPoisoned && share < DeclinedShare ? OrderRequest.DeclinedCard : null,
            Warehouse = warehouse,
        };
    }
}
