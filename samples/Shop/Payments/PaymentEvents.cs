using Millrace;

namespace Shop.Payments;

/// <summary>Names the payment service gives its stream and its group.</summary>
public static class PaymentNames
{
    public const string Stream = "payments";

    public const string Group = "payments";

    /// <summary>The outbox of <see cref="PaymentsDb"/>, named for good.</summary>
    public const string Outbox = "shop-payments";
}

/// <summary>An order was charged.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Amount">How much, in euros.</param>
[Message("payment.completed")]
public sealed record PaymentCompleted(string OrderId, decimal Amount);

/// <summary>An order was not charged, and will not be. The answer to <see cref="RefundPayment"/> as well, when there was nothing to give back.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Reason">Why, for the customer.</param>
[Message("payment.failed")]
public sealed record PaymentFailed(string OrderId, string Reason);

/// <summary>What an order was charged was given back.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Amount">How much, in euros.</param>
[Message("payment.refunded")]
public sealed record PaymentRefunded(string OrderId, decimal Amount);

/// <summary>
/// The checkout asks to give back what an order was charged, and not to charge it any more. The answer is <see cref="PaymentRefunded"/> or
/// <see cref="PaymentFailed"/>.
/// </summary>
/// <param name="OrderId">The order.</param>
[Message("payment.refund")]
public sealed record RefundPayment(string OrderId);
