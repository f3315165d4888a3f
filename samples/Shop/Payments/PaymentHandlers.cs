using Microsoft.EntityFrameworkCore;
using Millrace;
using Millrace.EntityFrameworkCore;
using Shop.Fakes;
using Shop.Orders;

namespace Shop.Payments;

/// <summary>
/// Charges orders through the payment provider, which is outside of everything: a handler that died after the charge runs again, and the
/// provider recognises the key and answers as before. The service's own ledger, the inbox and the event are one transaction, so that
/// a message which comes again changes nothing, not even when the order was refunded meanwhile and the provider would answer otherwise.
/// </summary>
public sealed class PaymentHandlers(PaymentsDb db, PaymentProvider provider)
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
        if (await db.Ledger.AnyAsync(payment => payment.OrderId == order.OrderId, cancellationToken))
            return; // Published twice: the first one decided.

        // One key for the order, whoever published it how often: two handlers at once are told the same charge.
        var charge = await provider.ChargeAsync($"charge:{order.OrderId}", order.OrderId, order.Card, order.Total, cancellationToken);
        await db.HandleOnceAsync(
            context,
            _ =>
            {
                var state = charge.IsCharged ? PaymentState.Charged : PaymentState.Refused;
                db.Ledger.Add(new() { OrderId = order.OrderId, State = state, Amount = charge.Amount });
                var options = new PublishOptions { Subject = order.OrderId };
                if (charge.IsCharged)
                    db.Publish(PaymentNames.Stream, new PaymentCompleted(order.OrderId, charge.Amount), options);
                else
                    db.Publish(PaymentNames.Stream, new PaymentFailed(order.OrderId, charge.Reason), options);
                return Task.CompletedTask;
            },
            cancellationToken);
    }

    [StreamConsumer(OrderNames.Checkout, Group = PaymentNames.Group)]
    public async Task RefundAsync(RefundPayment command, MessageContext context, CancellationToken cancellationToken)
    {
        var refunded = await provider.CancelAsync(context.MessageId, command.OrderId, cancellationToken);
        if (refunded == 0)
            return; // Asked for twice.

        await db.HandleOnceAsync(
            context,
            async token =>
            {
                var payment = await db.Ledger.FindAsync([command.OrderId], token)
                    ?? db.Ledger.Add(new() { OrderId = command.OrderId, Amount = refunded }).Entity; // Charged before there was a ledger.
                payment.State = PaymentState.Refunded;
                db.Publish(
                    PaymentNames.Stream, new PaymentRefunded(command.OrderId, refunded), new PublishOptions { Subject = command.OrderId });
            },
            cancellationToken);
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
