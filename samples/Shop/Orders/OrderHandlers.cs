using Millrace;
using Millrace.EventSourcing;
using Shop.Inventory;
using Shop.Payments;

namespace Shop.Orders;

/// <summary>
/// Begins orders that were accepted, and ends them when the checkout asks for it. The order's own history decides; its event, the message
/// that tells the others and the acknowledgement leave in one commit: there is never one without the other, whatever dies when.
/// </summary>
public sealed class OrderHandlers(EventStore events)
{
    [StreamConsumer(OrderNames.Placing, Group = OrderNames.Group)]
    public Task PlaceAsync(PlaceOrder command, MessageContext context, CancellationToken cancellationToken) =>
        DecideAsync(command, context, cancellationToken);

    [StreamConsumer(OrderNames.Checkout, Group = OrderNames.Group)]
    public Task CompleteAsync(CompleteOrder command, MessageContext context, CancellationToken cancellationToken) =>
        DecideAsync(command, context, cancellationToken);

    [StreamConsumer(OrderNames.Checkout, Group = OrderNames.Group)]
    public Task CancelAsync(CancelOrder command, MessageContext context, CancellationToken cancellationToken) =>
        DecideAsync(command, context, cancellationToken);

    [StreamConsumer(OrderNames.Checkout, Group = OrderNames.Group)]
    public Task GiveUpAsync(GiveUpOrder command, MessageContext context, CancellationToken cancellationToken) =>
        DecideAsync(command, context, cancellationToken);

    /// <summary>Tells the checkout of an order that ended in the dead letters of a service.</summary>
    [StreamConsumer(OrderNames.DeadForPayments, Group = OrderNames.Group)]
    public static void NoteGivenUpByPayments(OrderCreated order, MessageContext context) =>
        NoteGivenUp(order, PaymentNames.Group, context);

    /// <inheritdoc cref="NoteGivenUpByPayments"/>
    [StreamConsumer(OrderNames.DeadForInventory, Group = OrderNames.Group)]
    public static void NoteGivenUpByInventory(OrderCreated order, MessageContext context) =>
        NoteGivenUp(order, InventoryNames.Group, context);

    private static void NoteGivenUp(OrderCreated order, string service, MessageContext context) =>
        context.Publish(OrderNames.Stream, new OrderGivenUp(order.OrderId, service), new PublishOptions { Subject = order.OrderId });

    private async Task DecideAsync(IOrderCommand command, MessageContext context, CancellationToken cancellationToken)
    {
        var orderId = command.Order.OrderId;
        var decided = await events.EnlistDecisionAsync(context, Order.Stream(orderId), Order.Decider, command, cancellationToken);
        var news = decided.Events.LastOrDefault();
        if (news is null && command is PlaceOrder && decided.State.Status == OrderStatus.Processing)
            news = command.Order; // Told again, under the same message ID: whoever did what it asks for tells so again.
        if (news is null)
            return; // Asked for twice.

        var lane = news is OrderCreated { Express: true } ? OrderNames.ExpressLane : null;
        context.Publish(OrderNames.Stream, news, new PublishOptions { Subject = orderId, Lane = lane });
    }
}
