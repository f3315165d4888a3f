using Microsoft.Extensions.DependencyInjection;
using Millrace.Testing;
using Shop;
using Shop.Loyalty;
using Shop.Payments;

namespace Millrace.Tests.Shop;

/// <summary>Points follow from payments and vouchers from points, and both are taken back the same way, without a conductor.</summary>
public sealed class LoyaltyTests
{
    private static readonly PaymentCompleted Paid = new("o-1", 60.50m);
    private static readonly PaymentRefunded Refunded = new("o-1", 60.50m);

    [Fact]
    public async Task Paid_order_earns_points_and_a_large_one_a_voucher_once()
    {
        await using var host = await StartAsync();

        await host.PublishManyAsync<object>(PaymentNames.Stream, [Paid, Paid, new PaymentCompleted("o-2", 49.99m)]);
        await host.WhenIdleAsync();

        Assert.Equal([new PointsGranted("o-1", 60), new PointsGranted("o-2", 49), new VoucherIssued("o-1")], await ToldAsync(host));
    }

    [Fact]
    public async Task Refund_takes_the_points_back_and_these_the_voucher()
    {
        await using var host = await StartAsync();
        await host.PublishAsync(PaymentNames.Stream, Paid);
        await host.WhenIdleAsync();

        await host.PublishManyAsync(PaymentNames.Stream, [Refunded, Refunded]);
        await host.WhenIdleAsync();

        Assert.Equal(
            [new PointsGranted("o-1", 60), new PointsTakenBack("o-1", 60), new VoucherIssued("o-1"), new VoucherWithdrawn("o-1")], await ToldAsync(host));
    }

    /// <summary>Nothing orders messages that one group has at hand: a retry lets a later one overtake.</summary>
    [Fact]
    public async Task Undoing_that_overtakes_its_step_leaves_nothing_behind()
    {
        await using var host = await StartAsync();

        await host.PublishAsync(PaymentNames.Stream, Refunded);
        await host.PublishAsync(LoyaltyNames.Stream, new PointsTakenBack("o-2", 60));
        await host.WhenIdleAsync();
        await host.PublishAsync(PaymentNames.Stream, Paid);
        await host.PublishAsync(LoyaltyNames.Stream, new PointsGranted("o-2", 60));
        await host.WhenIdleAsync();

        Assert.Equal([new PointsGranted("o-2", 60), new PointsTakenBack("o-2", 60)], await ToldAsync(host));
    }

    /// <summary>What the loyalty service told, by name.</summary>
    private static async Task<object[]> ToldAsync(MillraceTestHost host)
    {
        var told = host.Services.GetRequiredService<MessageReader>().ReadAsync<object>(LoyaltyNames.Stream, ReadFrom.Start, follow: false);
        return await told.Select(one => one.Body).OrderBy(one => $"{one}", StringComparer.Ordinal).ToArrayAsync();
    }

    private static Task<MillraceTestHost> StartAsync() => MillraceTestHost.StartAsync(millrace => millrace
        .UseJson(ShopJson.Default)
        .AddMessage<PaymentCompleted>().AddMessage<PaymentRefunded>()
        .AddMessage<PointsGranted>().AddMessage<PointsTakenBack>().AddMessage<VoucherIssued>().AddMessage<VoucherWithdrawn>()
        .AddConsumer<PaymentCompleted>(PaymentNames.Stream, LoyaltyNames.PointsGroup, PointsHandlers.GrantAsync)
        .AddConsumer<PaymentRefunded>(PaymentNames.Stream, LoyaltyNames.PointsGroup, PointsHandlers.TakeBackAsync)
        .AddConsumer<PointsGranted>(LoyaltyNames.Stream, LoyaltyNames.VouchersGroup, VoucherHandlers.IssueAsync)
        .AddConsumer<PointsTakenBack>(LoyaltyNames.Stream, LoyaltyNames.VouchersGroup, VoucherHandlers.WithdrawAsync));
}
