using Millrace;
using Millrace.Streams;
using Shop.Payments;

namespace Shop.Loyalty;

// Choreography: payment.completed leads to points.granted, and that to voucher.issued; payment.refunded takes back the points, and that the voucher.
// Each step hears of the one before and of its undoing, nobody conducts them, and no payment waits for them. Orders, of which the whole has to end
// one way or the other, have a saga: Orders/Checkout.cs.

/// <summary>Keeps points in step with payments.</summary>
public sealed class PointsHandlers
{
    [StreamConsumer(PaymentNames.Stream, Group = LoyaltyNames.PointsGroup)]
    public static Task GrantAsync(PaymentCompleted payment, MessageContext context, CancellationToken cancellationToken)
    {
        var points = (int)payment.Amount;
        return Rewards.GrantAsync(
            context, Reward.PointsKey(payment.OrderId), points, new PointsGranted(payment.OrderId, points), payment.OrderId, cancellationToken);
    }

    [StreamConsumer(PaymentNames.Stream, Group = LoyaltyNames.PointsGroup)]
    public static Task TakeBackAsync(PaymentRefunded payment, MessageContext context, CancellationToken cancellationToken) => Rewards.TakeBackAsync(
        context, Reward.PointsKey(payment.OrderId), points => new PointsTakenBack(payment.OrderId, points), payment.OrderId, cancellationToken);
}

/// <summary>Keeps vouchers in step with points.</summary>
public sealed class VoucherHandlers
{
    /// <summary>The points from which on there is a voucher.</summary>
    public const int MinPoints = 50;

    [StreamConsumer(LoyaltyNames.Stream, Group = LoyaltyNames.VouchersGroup)]
    public static async Task IssueAsync(PointsGranted granted, MessageContext context, CancellationToken cancellationToken)
    {
        if (granted.Points >= MinPoints)
        {
            await Rewards.GrantAsync(
                context, Reward.VoucherKey(granted.OrderId), granted.Points, new VoucherIssued(granted.OrderId), granted.OrderId, cancellationToken);
        }
    }

    [StreamConsumer(LoyaltyNames.Stream, Group = LoyaltyNames.VouchersGroup)]
    public static async Task WithdrawAsync(PointsTakenBack taken, MessageContext context, CancellationToken cancellationToken)
    {
        if (taken.Points >= MinPoints)
        {
            await Rewards.TakeBackAsync(
                context, Reward.VoucherKey(taken.OrderId), _ => new VoucherWithdrawn(taken.OrderId), taken.OrderId, cancellationToken);
        }
    }
}

/// <summary>What both steps do: a document and an event, in the commit that acknowledges what they follow from.</summary>
internal static class Rewards
{
    public static async Task GrantAsync(
        MessageContext context, StateKey key, int points, object granted, string orderId, CancellationToken cancellationToken)
    {
        if (await context.State.GetAsync<Reward>(key, cancellationToken) is not null)
            return; // Told twice, or its undoing overtook it.

        context.State.Put(key, new Reward(points));
        context.Publish(LoyaltyNames.Stream, granted, new PublishOptions { Subject = orderId });
    }

    public static async Task TakeBackAsync(
        MessageContext context, StateKey key, Func<int, object> takenBack, string orderId, CancellationToken cancellationToken)
    {
        var reward = await context.State.GetAsync<Reward>(key, cancellationToken);
        if (reward is { IsTakenBack: true })
            return; // Told twice.

        context.State.Put(key, new Reward(reward?.Points ?? 0, IsTakenBack: true));
        if (reward is not null)
            context.Publish(LoyaltyNames.Stream, takenBack(reward.Points), new PublishOptions { Subject = orderId });
    }
}
