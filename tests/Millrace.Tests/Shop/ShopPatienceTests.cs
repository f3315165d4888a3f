using Shop;
using Shop.Fakes;

namespace Millrace.Tests.Shop;

/// <summary>The checkout's time-out in a running Shop.</summary>
public sealed class ShopPatienceTests
{
    [Fact]
    public async Task Order_nobody_answered_for_is_cancelled_and_no_money_is_kept_whatever_comes_later()
    {
        using var directory = new ShopDirectory();
        await using var shop = await ShopProcess.OpenAsync(directory.Path, "--data", directory.Data, "--patience", "1");
        using var client = new ShopClient(shop.Address);
        await BreakPaymentsAsync(client, "true");
        var id = await client.PlaceAsync("tea", 1);

        var ends = await client.WaitForEndsAsync([id]);
        await BreakPaymentsAsync(client, "false");
        var last = (await client.WaitForAsync(
            [id],
            order => order.GetProperty("payment").GetString() is "refunded" or "failed" && order.GetProperty("stock").GetString() == "released"))[id];

        Assert.Equal("cancelled", ends[id]);
        Assert.Contains("in time", last.GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.Equal("cancelled", last.GetProperty("status").GetString());
        var moved = RecordFile<PaymentRecord>.ReadAll(Path.Combine(directory.Data, "fakes", PaymentProvider.FileName), ShopJson.Default.PaymentRecord)
            .Where(call => call.Applied).ToLookup(call => call.Kind);
        Assert.Equal(moved[PaymentKinds.Charge].Count(), moved[PaymentKinds.Cancel].Count());
    }

    private static async Task BreakPaymentsAsync(ShopClient client, string broken)
    {
        using var response = await client.SendAsync(HttpMethod.Post, "/admin/payments/break", $$"""{"broken":{{broken}}}""");
        Assert.True(response.IsSuccessStatusCode);
    }
}
