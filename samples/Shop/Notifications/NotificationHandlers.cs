using Millrace;
using Millrace.WorkQueues;
using Shop.Fakes;
using Shop.Orders;

namespace Shop.Notifications;

/// <summary>
/// Has customers told how their order ended, and operations about the orders a service gave up on: each mail becomes a job in the commit that
/// acknowledges the event.
/// </summary>
public sealed class NotificationHandlers([FromKeyedServices(NotificationNames.Mails)] JobQueue mails)
{
    /// <summary>Where mails about orders go that need a human.</summary>
    public const string Operations = "operations@shop.example";

    [StreamConsumer(OrderNames.Stream, Group = NotificationNames.Group)]
    public Task MailCompletedAsync(OrderCompleted order, MessageContext context, CancellationToken cancellationToken) =>
        MailAsync(new(order.OrderId, MailKinds.Completed, order.Customer), context, cancellationToken);

    [StreamConsumer(OrderNames.Stream, Group = NotificationNames.Group)]
    public Task MailCancelledAsync(OrderCancelled order, MessageContext context, CancellationToken cancellationToken) =>
        MailAsync(new(order.OrderId, MailKinds.Cancelled, order.Customer), context, cancellationToken);

    [StreamConsumer(OrderNames.Stream, Group = NotificationNames.Group)]
    public Task MailOperationsAsync(OrderDeadLettered order, MessageContext context, CancellationToken cancellationToken) =>
        MailAsync(new(order.OrderId, MailKinds.Operations, Operations), context, cancellationToken);

    private async Task MailAsync(SendMail mail, MessageContext context, CancellationToken cancellationToken) =>
        await mails.EnqueueAsync(context, mail, cancellationToken: cancellationToken);
}
