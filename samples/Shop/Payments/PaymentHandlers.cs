using Millrace;
using Shop.Fakes;
using Shop.Orders;

namespace Shop.Payments;

/// <summary>
/// Charges orders through the payment provider, which is outside the store: a handler that died after the charge runs again, and the
/// provider recognises the message ID and answers as before. This service needs no state of its own: the checkout asks for the money of a
/// failed order back once it has been told of the charge, however late.
/// </summary>
public sealed class PaymentHandlers(PaymentProvider provider)
{
    /// <summary>
    /// A provider that is down for minutes must not end in the dead letters, so the group tries long; a damaged order must, so it is
    /// rejected at this attempt.
    /// </summary>
    private const int MaxAttemptsOnDamage = 4;

    [StreamConsumer(OrderNames.Stream, Group = PaymentNames.Group)]
    public async Task ChargeAsync(OrderCreated order, MessageContext context, CancellationToken cancellationToken)
    {
        OpenCatalog(order, context);
        var charge = await provider.ChargeAsync(context.MessageId, order.OrderId, order.Card, order.Total, cancellationToken);
        var options = new PublishOptions { Subject = order.OrderId };
        if (charge.IsCharged)
            context.Publish(PaymentNames.Stream, new PaymentCompleted(order.OrderId, charge.Amount), options);
        else
            context.Publish(PaymentNames.Stream, new PaymentFailed(order.OrderId, charge.Reason), options);
    }

    [StreamConsumer(OrderNames.Checkout, Group = PaymentNames.Group)]
    public async Task RefundAsync(RefundPayment command, MessageContext context, CancellationToken cancellationToken)
    {
        var refunded = await provider.CancelAsync(context.MessageId, command.OrderId, cancellationToken);
        if (refunded > 0)
        {
            context.Publish(
                PaymentNames.Stream, new PaymentRefunded(command.OrderId, refunded), new PublishOptions { Subject = command.OrderId });
        }
    }

    private static void OpenCatalog(OrderCreated order, MessageContext context)
    {
        try
        {
            Catalog.Open(order.Items.Select(line => line.Sku));
        }
        catch (InvalidDataException damage) when (context.Attempt >= MaxAttemptsOnDamage)
        {
            throw new MessageRejectedException(damage.Message, damage);
        }
    }
}
