using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Millrace.Sqlite;
using Millrace.Tests.Fixtures;
using Shop;
using Shop.Fakes;
using Shop.Orders;

namespace Millrace.Tests.Shop;

/// <summary>What the Shop accepted, when its store has lost it or never takes it: its databases have not.</summary>
public sealed class ShopLossTests
{
    private const int Orders = 12;

    [Theory]
    [InlineData("embedded", false)]
    [InlineData("redis", false)]
    [InlineData("redis", true)]
    public async Task Orders_that_the_store_lost_with_all_that_came_of_them_complete_again_and_cost_once(string store, bool isShopRunning)
    {
        using var directory = new ShopDirectory();
        await using var redis = store == "redis" ? await RedisServer.StartAsync() : null;
        string[] arguments = redis is null ? ["--data", directory.Data] : ["--data", directory.Data, "--redis", redis.Endpoint];
        await using var first = await ShopProcess.OpenAsync(directory.Path, arguments);
        using var before = new ShopClient(first.Address);
        var orders = new List<string>();
        for (var i = 0; i < Orders; i++)
            orders.Add(await before.PlaceAsync("tea", 1));
        await before.WaitForAsync(orders, static order => order.TryGetProperty("mail", out _));

        if (!isShopRunning)
            await first.KillAsync();
        if (redis is not null)
            await redis.CliAsync("FLUSHALL");
        else
            Forget(directory);
        await using var second = isShopRunning ? null : await ShopProcess.OpenAsync(directory.Path, arguments);
        using var after = new ShopClient(second?.Address ?? first.Address);
        foreach (var order in orders)
        {
            await Eventually.TrueAsync($"{order} ends, and its mail goes out, in the store as it is now", async () => redis is null
                ? (await after.GetAsync($"/orders/{order}")).TryGetProperty("mail", out _)
                : (await redis.CliAsync("XRANGE", "notifications", "-", "+")).Contains(order, StringComparison.Ordinal));
            Assert.Equal("completed", (await after.GetAsync($"/orders/{order}")).GetProperty("status").GetString());
        }

        Assert.All(orders, order => Assert.Equal(1, directory.ReadEndMails()[order]));
        var charges = RecordFile<PaymentRecord>.ReadAll(Path.Combine(directory.Data, "fakes", PaymentProvider.FileName), ShopJson.Default.PaymentRecord)
            .Where(call => call.Applied).Select(call => call.OrderId);
        Assert.Equal(orders.Order(), charges.Order());
    }

    [Fact]
    public async Task Order_whose_payment_was_told_to_a_store_that_lost_it_completes()
    {
        await using var redis = await RedisServer.StartAsync();
        using var directory = new ShopDirectory();
        string[] home = ["--redis", redis.Endpoint, "--data", directory.Data];
        await using var broken = await ShopProcess.OpenAsync(directory.Path, home);
        using var before = new ShopClient(broken.Address);
        using (await before.SendAsync(HttpMethod.Post, "/admin/payments/break", """{"broken":true}"""))
        {
        }

        var order = await before.PlaceAsync("tea", 1);
        await Eventually.TrueAsync($"{order} has its goods", async () =>
            (await redis.CliAsync("XRANGE", "inventory", "-", "+")).Contains(order, StringComparison.Ordinal));
        using (await before.SendAsync(HttpMethod.Post, "/admin/payments/break", """{"broken":false}"""))
        {
        }

        await broken.KillAsync();
        await using (var payments = ShopProcess.Start(directory.Path, ["--role", "payments", .. home]))
        {
            await Eventually.TrueAsync($"{order} is paid, and nothing is left to do for it", async () =>
                (await redis.CliAsync("XRANGE", "payments", "-", "+")).Contains(order, StringComparison.Ordinal) &&
                (await redis.CliAsync("XPENDING", "{orders}:again:payments", "payments")).Split('\n')[0] == "0");
            await payments.KillAsync();
        }

        await redis.CliAsync("DEL", "payments");
        await using var mended = await ShopProcess.OpenAsync(directory.Path, home);
        using var after = new ShopClient(mended.Address);
        await after.WaitForEndsAsync([order]);

        Assert.Equal("completed", (await after.GetAsync($"/orders/{order}")).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Customer_is_shown_what_there_is_while_an_old_order_does_not_begin()
    {
        SqliteLibrary.Load();
        using var directory = new ShopDirectory();
        await using var shop = await ShopProcess.OpenAsync(directory.Path, "--data", directory.Data);
        using var client = new ShopClient(shop.Address);
        await client.WaitForEndsAsync([await client.PlaceAsync("tea", 1)]);
        var file = Path.Combine(directory.Data, "databases", "embedded", "orders.db");
        await using (var db = new OrdersDb(new DbContextOptionsBuilder<OrdersDb>().UseSqlite($"Data Source={file};Pooling=False").Options))
        {
            var placed = new OrderRequest { Customer = "test@shop.example", Items = [new("tea", 1, null)] }.ToEvent("ord-stuck", DateTimeOffset.UnixEpoch);
            db.Accepted.Add(new() { OrderId = "ord-stuck", Customer = placed.Customer, CorrelationId = "stuck", Placed = placed });
            await db.SaveChangesAsync();
        }

        using var response = await client.SendAsync(HttpMethod.Get, "/customers/test@shop.example");

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(1, (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("orders").GetInt32());
        Assert.Equal("processing", (await client.GetAsync("/orders/ord-stuck")).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Orders_that_are_accepted_together_go_on_in_a_trace_each()
    {
        await using var redis = await RedisServer.StartAsync();
        using var directory = new ShopDirectory();
        await using var shop = await ShopProcess.OpenAsync(directory.Path, "--redis", redis.Endpoint, "--data", directory.Data);
        using var client = new ShopClient(shop.Address);

        var accepted = await Task.WhenAll(Enumerable.Range(0, 64).Select(async _ =>
        {
            var trace = ActivityTraceId.CreateRandom().ToHexString();
            using var response = await client.SendAsync(
                HttpMethod.Post, "/orders", """{"items":[{"sku":"tea","quantity":1}]}""", ("traceparent", $"00-{trace}-{ActivitySpanId.CreateRandom()}-01"));
            return (Order: (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!, Trace: trace);
        }));
        await client.WaitForEndsAsync(accepted.Select(one => one.Order));
        var placed = (await redis.CliAsync("XRANGE", "placing", "-", "+")).Split('\n');

        Assert.Equal(
            accepted.OrderBy(one => one.Order),
            ValuesOf("subject").Zip(ValuesOf("traceparent"), (order, trace) => (order, trace.Split('-')[1])).OrderBy(one => one.order));

        IEnumerable<string> ValuesOf(string field) => placed.Zip(placed.Skip(1)).Where(pair => pair.First == field).Select(pair => pair.Second);
    }

    /// <summary>Deletes what the embedded store has written, and neither databases nor books.</summary>
    private static void Forget(ShopDirectory directory)
    {
        foreach (var entry in new DirectoryInfo(directory.Data).EnumerateFileSystemInfos().Where(one => one.Name is not ("databases" or "fakes")))
        {
            if (entry is DirectoryInfo folder)
                folder.Delete(recursive: true);
            else
                entry.Delete();
        }
    }
}
