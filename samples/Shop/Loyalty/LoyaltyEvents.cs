using Millrace;
using Millrace.Streams;

namespace Shop.Loyalty;

/// <summary>Names the loyalty service gives its stream and its groups.</summary>
public static class LoyaltyNames
{
    public const string Stream = "loyalty";

    /// <summary>The group that keeps points in step with payments.</summary>
    public const string PointsGroup = "points";

    /// <summary>The group that keeps vouchers in step with points.</summary>
    public const string VouchersGroup = "vouchers";
}

/// <summary>An order that was paid earned points.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Points">How many: one for each euro.</param>
[Message("points.granted")]
public sealed record PointsGranted(string OrderId, int Points);

/// <summary>The money of an order went back, and with it its points.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Points">How many.</param>
[Message("points.taken-back")]
public sealed record PointsTakenBack(string OrderId, int Points);

/// <summary>An order earned so many points that there is a voucher for it.</summary>
/// <param name="OrderId">The order.</param>
[Message("voucher.issued")]
public sealed record VoucherIssued(string OrderId);

/// <summary>The points of an order were taken back, and with them its voucher.</summary>
/// <param name="OrderId">The order.</param>
[Message("voucher.withdrawn")]
public sealed record VoucherWithdrawn(string OrderId);

/// <summary>What the service remembers of an order; makes granting and taking back safe any number of times, and in any order.</summary>
/// <param name="Points">What the order earned; 0 when it was taken back before it was known.</param>
/// <param name="IsTakenBack">Whether it went back.</param>
public sealed record Reward(int Points, bool IsTakenBack = false)
{
    /// <summary>Names the document of an order's points.</summary>
    public static StateKey PointsKey(string orderId) => new(LoyaltyNames.Stream, $"points/{orderId}");

    /// <summary>Names the document of an order's voucher.</summary>
    public static StateKey VoucherKey(string orderId) => new(LoyaltyNames.Stream, $"voucher/{orderId}");
}
