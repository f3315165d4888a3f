using Millrace;
using Shop.Fakes;
using Shop.Orders;

namespace Shop.Notifications;

/// <summary>Tells customers how their order ended, and operations about the orders a service gave up on.</summary>
public sealed class NotificationHandlers(MailGateway mails)
{
    /// <summary>Where mails about orders go that need a human.</summary>
    public const string Operations = "operations@shop.example";

    [StreamConsumer(OrderNames.Stream, Group = NotificationNames.Group)]
    public Task MailCompletedAsync(OrderCompleted order, MessageContext context, CancellationToken cancellationToken) =>
        MailAsync(order.OrderId, MailKinds.Completed, order.Customer, context, cancellationToken);

    [StreamConsumer(OrderNames.Stream, Group = NotificationNames.Group)]
    public Task MailCancelledAsync(OrderCancelled order, MessageContext context, CancellationToken cancellationToken) =>
        MailAsync(order.OrderId, MailKinds.Cancelled, order.Customer, context, cancellationToken);

    [StreamConsumer(OrderNames.Stream, Group = NotificationNames.Group)]
    public Task MailOperationsAsync(OrderDeadLettered order, MessageContext context, CancellationToken cancellationToken) =>
        MailAsync(order.OrderId, MailKinds.Operations, Operations, context, cancellationToken);

    private async Task MailAsync(
        string orderId, string kind, string to, MessageContext context, CancellationToken cancellationToken)
    {
        await mails.SendAsync(context.MessageId, orderId, kind, to, cancellationToken);
        context.Publish(NotificationNames.Stream, new NotificationSent(orderId, kind), new PublishOptions { Subject = orderId });
    }
}
