using Millrace;
using Millrace.EventSourcing;
using Shop.Inventory;
using Shop.Payments;

namespace Shop.Orders;

/// <summary>
/// Ends orders when the checkout asks for it. The order's own history decides; its event, the message that tells the others and the
/// acknowledgement leave in one commit.
/// </summary>
public sealed class OrderHandlers(EventStore events)
{
    [StreamConsumer(OrderNames.Checkout, Group = OrderNames.Group)]
    public Task CompleteAsync(CompleteOrder command, MessageContext context, CancellationToken cancellationToken) =>
        EndAsync(command, context, cancellationToken);

    [StreamConsumer(OrderNames.Checkout, Group = OrderNames.Group)]
    public Task CancelAsync(CancelOrder command, MessageContext context, CancellationToken cancellationToken) =>
        EndAsync(command, context, cancellationToken);

    [StreamConsumer(OrderNames.Checkout, Group = OrderNames.Group)]
    public Task GiveUpAsync(GiveUpOrder command, MessageContext context, CancellationToken cancellationToken) =>
        EndAsync(command, context, cancellationToken);

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

    private async Task EndAsync(IEndOrder command, MessageContext context, CancellationToken cancellationToken)
    {
        var orderId = command.Order.OrderId;
        var decided = await events.EnlistDecisionAsync(context, Order.Stream(orderId), Order.Decider, command, cancellationToken);
        if (decided.Events is [.., var end])
            context.Publish(OrderNames.Stream, end, new PublishOptions { Subject = orderId });
    }
}
