using System.Net.Http.Json;
using System.Text.Json;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Shop;

/// <summary>Orders that the Shop accepts while its Redis is away.</summary>
public sealed class ShopOutboxTests
{
    private const int Orders = 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Order_accepted_while_Redis_is_away_completes_once_when_it_is_back(bool isShopKilledMeanwhile)
    {
        await using var redis = await RedisServer.StartAsync("--appendonly", "yes");
        using var directory = new ShopDirectory();
        string[] arguments = ["--redis", redis.Endpoint, "--data", directory.Data];
        await using var first = await ShopProcess.OpenAsync(directory.Path, arguments);
        using var before = new ShopClient(first.Address);
        await before.WaitForEndsAsync([await before.PlaceAsync("tea", 1)]);

        await redis.KillAsync();
        var accepted = new List<string>();
        for (var i = 0; i < Orders; i++)
            accepted.Add(await before.PlaceAsync("tea", 1));
        var shown = await before.GetAsync($"/orders/{accepted[0]}");
        if (isShopKilledMeanwhile)
            await first.KillAsync();
        await redis.StartAgainAsync();

        await using var second = isShopKilledMeanwhile ? await ShopProcess.OpenAsync(directory.Path, arguments) : null;
        using var after = new ShopClient(second?.Address ?? first.Address);
        var ends = await after.WaitForEndsAsync(accepted);
        await after.WaitForAsync(accepted, static order => order.TryGetProperty("mail", out _));
        var placed = await redis.CliAsync("XRANGE", "placing", "-", "+");
        var customer = default(JsonElement);
        await Eventually.TrueAsync("the customer's view follows again, which the killed process had leased", async () =>
        {
            using var response = await after.SendAsync(HttpMethod.Get, "/customers/test@shop.example");
            customer = await response.Content.ReadFromJsonAsync<JsonElement>();
            return response.IsSuccessStatusCode;
        });

        Assert.Equal(("processing", 6.5m), (shown.GetProperty("status").GetString(), shown.GetProperty("total").GetDecimal()));
        Assert.All(ends.Values, end => Assert.Equal("completed", end));
        // The outbox publishes once; a start places again what has not ended by then.
        Assert.All(accepted, order => Assert.InRange(placed.Split('\n').Count(line => line == order), 1, isShopKilledMeanwhile ? 2 : 1));
        Assert.All(accepted, order => Assert.Equal(1, directory.ReadEndMails()[order]));
        Assert.Equal(Orders + 1, customer.GetProperty("completed").GetInt32());
    }
}
