using System.Text.Json;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Shop;

/// <summary>The run with orders, whole: what its JSON line says is part of the sample's contract.</summary>
public sealed class ShopRunTests
{
    private const int Completed = 257;

    private static readonly string[] Keys =
    [
        "store", "placed", "completed", "cancelled", "deadLettered", "lost", "doubledEffects", "stockBalanced", "eventsPerSecond",
        "p50Ms", "p99Ms",
    ];

    [Theory]
    [InlineData("embedded", false)]
    [InlineData("embedded", true)]
    [InlineData("redis", false)]
    [InlineData("redis", true)]
    [InlineData("millrace serve", false)]
    [InlineData("millrace serve", true)]
    public async Task Orders_all_end_once_and_the_same_ones_complete_whatever_is_killed(string store, bool kill)
    {
        using var directory = new ShopDirectory();
        // A server of its own: services of two Shops on one Redis would handle each other's orders.
        await using var redis = store == "redis" ? await RedisServer.StartAsync() : null;
        await using var ours = store == "millrace serve" ? await MillraceServer.StartAsync("--data", Path.Combine(directory.Path, "served")) : null;
        string[] home = (redis?.Endpoint ?? ours?.Endpoint.ToString()) is { } endpoint ? ["--redis", endpoint] : [];
        string[] killing = kill ? ["--kill-workers"] : [];

        var (exitCode, output, errors) = await ShopProcess.RunAsync(
            directory.Path, ["--orders", "300", "--seed", "7", "--json", "--data", directory.Data, .. home, .. killing]);

        Assert.True(exitCode == 0, $"{output.LastOrDefault()}\n{errors}");
        var report = JsonDocument.Parse(output[^1]).RootElement;
        Assert.Equal(Keys, report.EnumerateObject().Select(property => property.Name));
        Assert.Equal(home.Length == 0 ? "embedded" : "redis", report.GetProperty("store").GetString());
        Assert.Equal(300, report.GetProperty("placed").GetInt32());
        // What the seed draws, whatever happens on the way.
        Assert.Equal((Completed, 300 - Completed - 3, 3), (Number("completed"), Number("cancelled"), Number("deadLettered")));
        Assert.Equal((0, 0), (Number("lost"), Number("doubledEffects")));
        Assert.True(report.GetProperty("stockBalanced").GetBoolean());
        Assert.True(Number("eventsPerSecond") > 0);
        Assert.True(!kill || errors.Contains("Killed", StringComparison.Ordinal), errors);

        int Number(string key) => report.GetProperty(key).GetInt32();
    }

    [Fact]
    public async Task Second_run_on_the_same_data_counts_only_its_own_orders()
    {
        using var directory = new ShopDirectory();
        string[] arguments = ["--orders", "40", "--json", "--data", directory.Data];

        await ShopProcess.RunAsync(directory.Path, arguments);
        var (exitCode, output, errors) = await ShopProcess.RunAsync(directory.Path, arguments);

        Assert.True(exitCode == 0, errors);
        Assert.Equal(40, JsonDocument.Parse(output[^1]).RootElement.GetProperty("placed").GetInt32());
        Assert.Equal(80, directory.ReadEndMails().Count);
    }

    [Fact]
    public async Task Books_that_a_kill_cut_off_are_repaired_and_go_on()
    {
        using var directory = new ShopDirectory();
        string[] books = [Path.Combine(directory.Data, "fakes", "mails.jsonl"), Path.Combine(directory.Data, "fakes", "payments.jsonl")];
        string[] arguments = ["--orders", "10", "--json", "--data", directory.Data];
        await ShopProcess.RunAsync(directory.Path, arguments);
        foreach (var book in books)
            await File.AppendAllTextAsync(book, """{"key":"01a1","kind":"char""");

        var (exitCode, _, errors) = await ShopProcess.RunAsync(directory.Path, arguments);

        Assert.True(exitCode == 0, errors);
        Assert.All(books.SelectMany(File.ReadLines), line => JsonDocument.Parse(line));
        Assert.Equal(20, directory.ReadEndMails().Count);
    }
}
