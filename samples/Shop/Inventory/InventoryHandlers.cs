using Millrace;
using Shop.Orders;

namespace Shop.Inventory;

/// <summary>
/// Reserves goods. The stock lives in the store, so its change, the event and the acknowledgement are one commit: exactly once, also
/// when a handler dies in the middle. Two orders for the same product conflict, and the later one runs again on the new level.
/// </summary>
public sealed class InventoryHandlers
{
    [StreamConsumer(OrderNames.Stream, Group = InventoryNames.Group)]
    public async Task ReserveAsync(OrderCreated order, MessageContext context, CancellationToken cancellationToken)
    {
        Catalog.Open(order.Items.Select(line => line.Sku));
        var key = Reservation.Key(order.OrderId);
        if (await context.State.GetAsync<Reservation>(key, cancellationToken) is not null)
            return; // Published twice: the first one decided.

        StockLine[] lines =
            [.. order.Items.GroupBy(line => line.Sku).Select(lines => new StockLine(lines.Key, lines.Sum(line => line.Quantity)))];
        var problem = await TakeAsync(order.Warehouse, lines, context, cancellationToken);
        var options = new PublishOptions { Subject = order.OrderId };
        if (problem is null)
        {
            context.State.Put(key, new Reservation(ReservationStatus.Reserved, order.Warehouse, lines));
            context.Publish(InventoryNames.Stream, new StockReserved(order.OrderId, order.Warehouse, lines), options);
        }
        else
        {
            context.State.Put(key, new Reservation(ReservationStatus.Rejected, order.Warehouse, []));
            context.Publish(InventoryNames.Stream, new StockRejected(order.OrderId, problem), options);
        }
    }

    [StreamConsumer(OrderNames.Checkout, Group = InventoryNames.Group)]
    public async Task ReleaseAsync(ReleaseStock command, MessageContext context, CancellationToken cancellationToken)
    {
        var key = Reservation.Key(command.OrderId);
        var reservation = await context.State.GetAsync<Reservation>(key, cancellationToken);
        if (reservation is not { Status: ReservationStatus.Reserved })
            return; // Asked for twice.

        foreach (var line in reservation.Lines)
        {
            var level = await LevelAsync(reservation.Warehouse, line.Sku, context, cancellationToken);
            context.State.Put(StockLevel.Key(reservation.Warehouse, line.Sku), new StockLevel(level.Available + line.Quantity));
        }

        context.State.Put(key, reservation with { Status = ReservationStatus.Released });
        context.Publish(
            InventoryNames.Stream,
            new StockReleased(command.OrderId, reservation.Warehouse, reservation.Lines),
            new PublishOptions { Subject = command.OrderId });
    }

    /// <summary>Takes all lines or none. Returns what is missing, or <see langword="null"/>.</summary>
    private static async Task<string?> TakeAsync(
        string warehouse, StockLine[] lines, MessageContext context, CancellationToken cancellationToken)
    {
        var levels = new List<(StockLine Line, StockLevel Level)>(lines.Length);
        foreach (var line in lines)
        {
            var level = await LevelAsync(warehouse, line.Sku, context, cancellationToken);
            if (level.Available < line.Quantity)
                return $"Only {level.Available} of '{line.Sku}' in stock, {line.Quantity} ordered.";
            levels.Add((line, level));
        }

        foreach (var (line, level) in levels)
            context.State.Put(StockLevel.Key(warehouse, line.Sku), new StockLevel(level.Available - line.Quantity));
        return null;
    }

    private static async Task<StockLevel> LevelAsync(
        string warehouse, string sku, MessageContext context, CancellationToken cancellationToken) =>
        await context.State.GetAsync<StockLevel>(StockLevel.Key(warehouse, sku), cancellationToken) ?? StockLevel.Initial(sku);
}
