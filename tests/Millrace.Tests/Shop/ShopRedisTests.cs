using System.Diagnostics;
using System.Text.Json;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Shop;

/// <summary>The Shop as others see it on Redis: one process a service, redis-cli, and a program in another language.</summary>
public sealed class ShopRedisTests
{
    [Fact]
    public async Task Services_in_processes_of_their_own_settle_every_order()
    {
        await using var redis = await RedisServer.StartAsync();
        using var directory = new ShopDirectory();
        string[] home = ["--redis", redis.Endpoint, "--data", directory.Data];
        await using var payments = ShopProcess.Start(directory.Path, ["--role", "payments", .. home]);
        await using var inventory = ShopProcess.Start(directory.Path, ["--role", "inventory", .. home]);
        await using var notifications = ShopProcess.Start(directory.Path, ["--role", "notifications", .. home]);
        foreach (var service in (ShopProcess[])[payments, inventory, notifications])
            await service.WaitForLineAsync("The ");

        var (exitCode, output, errors) = await ShopProcess.RunAsync(
            directory.Path, ["--role", "orders", "--orders", "100", "--json", .. home]);

        Assert.True(exitCode == 0, $"{output.LastOrDefault()}\n{errors}");
        Assert.Equal(100, JsonDocument.Parse(output[^1]).RootElement.GetProperty("placed").GetInt32());
        Assert.Equal(0, await payments.InterruptAsync());
    }

    [Fact]
    public async Task Redis_cli_shows_readable_fields_and_groups()
    {
        await using var redis = await RedisServer.StartAsync();
        using var directory = new ShopDirectory();
        await using var shop = await ShopProcess.OpenAsync(directory.Path, "--redis", redis.Endpoint, "--data", directory.Data);
        using var client = new ShopClient(shop.Address);
        var id = await client.PlaceAsync("tea", 2);
        await client.WaitForEndsAsync([id]);

        var orders = await redis.CliAsync("XRANGE", "orders", "-", "+");
        var groups = await redis.CliAsync("XINFO", "GROUPS", "orders");

        string[] readable =
            ["id", "source", "type", "subject", "correlationid", "schemaversion", "data", "order.created", "order.completed"];
        foreach (var text in readable)
            Assert.Contains(text, orders.Split('\n'));
        Assert.Contains(id, orders, StringComparison.Ordinal);
        foreach (var group in (string[])["orders", "payments", "inventory", "notifications"])
            Assert.Contains(group, groups.Split('\n'));
        await Eventually.TrueAsync(
            "the order earned points", async () => (await redis.CliAsync("XRANGE", "loyalty", "-", "+")).Contains("points.granted", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Order_published_from_Node_in_version_1_completes()
    {
        await using var redis = await RedisServer.StartAsync();
        using var directory = new ShopDirectory();
        await using var shop = await ShopProcess.OpenAsync(directory.Path, "--redis", redis.Endpoint, "--data", directory.Data);
        foreach (var file in Directory.GetFiles(FindInterop()))
            File.Copy(file, Path.Combine(directory.Path, Path.GetFileName(file)));
        await RunToolAsync(directory.Path, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error");

        var output = await RunToolAsync(directory.Path, "node", "publish-order.mjs", "--redis", redis.Endpoint, "--timeout", "60");

        foreach (var type in (string[])["order.created", "payment.completed", "stock.reserved", "order.completed", "notification.sent"])
            Assert.Contains(type, output, StringComparison.Ordinal);
    }

    private static async Task<string> RunToolAsync(string directory, string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = directory,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(3));
        await process.WaitForExitAsync(deadline.Token);
        Assert.True(process.ExitCode == 0, $"{program} ended with {process.ExitCode}:\n{await output}{await errors}");
        return await output;
    }

    /// <summary>The sample's folder, found from the repository's root upwards of the test binaries.</summary>
    private static string FindInterop()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Millrace.slnx")))
            directory = directory.Parent;
        return Path.Combine(directory!.FullName, "samples", "Shop", "interop");
    }
}
