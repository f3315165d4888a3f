using Millrace;
using Shop.Inventory;
using Shop.Payments;

namespace Shop.Orders;

/// <summary>
/// Moves orders on: waits for payment and stock, then ends the order. State, event and acknowledgement leave in one commit; when two
/// answers arrive at once, one commit finds the document changed and its handler runs again on the new one.
/// </summary>
public sealed class OrderHandlers
{
    /// <summary>Orders of our own HTTP API are already there; those that others publish are written down now.</summary>
    [StreamConsumer(OrderNames.Stream, Group = OrderNames.Group)]
    public Task NoteCreatedAsync(OrderCreated message, MessageContext context, CancellationToken cancellationToken) =>
        AdvanceAsync(message.OrderId, context, order => WithPlaced(order, message, context), cancellationToken);

    [StreamConsumer(PaymentNames.Stream, Group = OrderNames.Group)]
    public Task NotePaidAsync(PaymentCompleted message, MessageContext context, CancellationToken cancellationToken) =>
        AdvanceAsync(message.OrderId, context, order => order with { Payment = Answer.Yes }, cancellationToken);

    [StreamConsumer(PaymentNames.Stream, Group = OrderNames.Group)]
    public Task NoteNotPaidAsync(PaymentFailed message, MessageContext context, CancellationToken cancellationToken) =>
        AdvanceAsync(message.OrderId, context, order => WithReason(order, message.Reason) with { Payment = Answer.No }, cancellationToken);

    [StreamConsumer(InventoryNames.Stream, Group = OrderNames.Group)]
    public Task NoteReservedAsync(StockReserved message, MessageContext context, CancellationToken cancellationToken) =>
        AdvanceAsync(message.OrderId, context, order => order with { Stock = Answer.Yes }, cancellationToken);

    [StreamConsumer(InventoryNames.Stream, Group = OrderNames.Group)]
    public Task NoteRejectedAsync(StockRejected message, MessageContext context, CancellationToken cancellationToken) =>
        AdvanceAsync(message.OrderId, context, order => WithReason(order, message.Reason) with { Stock = Answer.No }, cancellationToken);

    [StreamConsumer(OrderNames.DeadForPayments, Group = OrderNames.Group)]
    public Task NoteGivenUpByPaymentsAsync(OrderCreated message, MessageContext context, CancellationToken cancellationToken) =>
        GiveUpAsync(message, PaymentNames.Group, context, cancellationToken);

    [StreamConsumer(OrderNames.DeadForInventory, Group = OrderNames.Group)]
    public Task NoteGivenUpByInventoryAsync(OrderCreated message, MessageContext context, CancellationToken cancellationToken) =>
        GiveUpAsync(message, InventoryNames.Group, context, cancellationToken);

    private static Task GiveUpAsync(OrderCreated message, string service, MessageContext context, CancellationToken cancellationToken) =>
        AdvanceAsync(
            message.OrderId, context, order => WithPlaced(order, message, context) with { GivenUpBy = service }, cancellationToken);

    private static Order WithReason(Order order, string reason) => order with { Reason = order.Reason ?? reason };

    private static Order WithPlaced(Order order, OrderCreated placed, MessageContext context) =>
        order with { Placed = order.Placed ?? placed, CorrelationId = order.CorrelationId ?? context.CorrelationId };

    private static async Task AdvanceAsync(
        string orderId, MessageContext context, Func<Order, Order> note, CancellationToken cancellationToken)
    {
        var before = await context.State.GetAsync<Order>(Order.Key(orderId), cancellationToken) ?? new Order { Id = orderId };
        if (before.HasEnded)
            return; // A late answer. The end stands, and the order's last event makes the services give back what they took.

        var after = note(before).Decide();
        if (after == before)
            return;

        context.State.Put(Order.Key(orderId), after);
        PublishEnd(after, context);
    }

    private static void PublishEnd(Order order, MessageContext context)
    {
        if (order.Placed is not { Customer: var customer, Total: var total })
            return;

        var options = new PublishOptions { Subject = order.Id };
        switch (order.Status)
        {
            case OrderStatus.Completed:
                context.Publish(OrderNames.Stream, new OrderCompleted(order.Id, customer, total), options);
                break;
            case OrderStatus.Cancelled:
                context.Publish(OrderNames.Stream, new OrderCancelled(order.Id, customer, order.Reason ?? "unknown"), options);
                break;
            case OrderStatus.DeadLettered:
                context.Publish(OrderNames.Stream, new OrderDeadLettered(order.Id, customer, order.GivenUpBy ?? "unknown"), options);
                break;
        }
    }
}
