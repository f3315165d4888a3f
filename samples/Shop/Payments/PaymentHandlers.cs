using Millrace;
using Millrace.EntityFrameworkCore;
using Shop.Fakes;
using Shop.Orders;

namespace Shop.Payments;

/// <summary>
/// Charges orders through the payment provider, which is outside of everything: a handler that died after the charge runs again, and the
/// provider recognises the key and answers as before. The service's own ledger, the inbox and the event are one transaction, so that
/// a message which comes again changes nothing, not even when the order was refunded meanwhile and the provider would answer otherwise.
/// It is told again what the ledger says, under the same message ID: it may have come because the store lost what it took last, the event too.
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

        // One key for the order, whoever published it how often: two handlers at once are told the same charge.
        var charge = await provider.ChargeAsync($"charge:{order.OrderId}", order.OrderId, order.Card, order.Total, cancellationToken);
        await SettleAsync(
            context,
            order.OrderId,
            payment => payment ?? new()
            {
                OrderId = order.OrderId,
                State = charge.IsCharged ? PaymentState.Charged : PaymentState.Refused,
                Amount = charge.Amount,
            },
            // What was given back is no payment, also for a checkout that the store has forgotten.
            payment => payment is { State: PaymentState.Charged }
                ? new PaymentCompleted(order.OrderId, payment.Amount)
                : new PaymentFailed(order.OrderId, charge.Reason),
            cancellationToken);
    }

    [StreamConsumer(OrderNames.Checkout, Group = PaymentNames.Group)]
    public async Task RefundAsync(RefundPayment command, MessageContext context, CancellationToken cancellationToken)
    {
        // One key for the order, as for the charge: a command that was sent again is told what the first one did.
        var refunded = await provider.CancelAsync($"cancel:{command.OrderId}", command.OrderId, cancellationToken);
        await SettleAsync(
            context,
            command.OrderId,
            payment =>
            {
                if (refunded == 0)
                    return payment; // Never charged, and the provider will not do it any more.
                payment ??= new() { OrderId = command.OrderId, Amount = refunded }; // Charged before there was a ledger.
                payment.State = PaymentState.Refunded;
                return payment;
            },
            payment => payment is { State: PaymentState.Refunded }
                ? new PaymentRefunded(command.OrderId, payment.Amount)
                : new PaymentFailed(command.OrderId, "The order was cancelled before it was paid."),
            cancellationToken);
    }

    /// <summary>Changes the ledger once for each message, and tells what it says of the order then, however often the message comes.</summary>
    private async Task SettleAsync(
        MessageContext context,
        string orderId,
        Func<Payment?, Payment?> change,
        Func<Payment?, object> answer,
        CancellationToken cancellationToken)
    {
        var isFirst = await db.HandleOnceAsync(
            context,
            async token =>
            {
                var before = await db.Ledger.FindAsync([orderId], token);
                var after = change(before);
                if (before is null && after is not null)
                    db.Ledger.Add(after);
                Tell(after);
            },
            cancellationToken);
        if (isFirst)
            return;

        Tell(await db.Ledger.FindAsync([orderId], cancellationToken));
        await db.SaveChangesAsync(cancellationToken);

        void Tell(Payment? payment) => db.Publish(PaymentNames.Stream, answer(payment), new PublishOptions { Subject = orderId });
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
