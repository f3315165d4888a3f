using System.Net;
using System.Net.Sockets;

namespace Millrace.Tests.Shop;

/// <summary>How the Shop starts, refuses to start, and stops.</summary>
public sealed class ShopStartTests
{
    [Fact]
    public async Task Wrong_options_are_all_named_at_once_with_exit_code_2()
    {
        using var directory = new ShopDirectory();

        var (exitCode, output, errors) = await ShopProcess.RunAsync(
            directory.Path, "--port", "99999", "--orders", "none", "--role", "cook", "--colour", "--seed", "-1", "--data");

        Assert.Equal(2, exitCode);
        Assert.Empty(output);
        string[] lines = errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(6, lines.Length);
        string[] paths =
            ["Shop:Port (--port)", "Shop:Orders (--orders)", "Shop:Role (--role)", "--colour", "Shop:Seed (--seed)", "Shop:Data (--data)"];
        foreach (var named in paths)
            Assert.Contains(lines, line => line.StartsWith(named, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("Shop:Role (--role)", "--role", "payments")]
    [InlineData("Shop:KillWorkers (--kill-workers)", "--kill-workers")]
    [InlineData("Shop:Json (--json)", "--json")]
    [InlineData("Shop:Orders (--orders)", "--role", "payments", "--redis", "127.0.0.1:1", "--orders", "5")]
    [InlineData("Shop:Port (--port): given twice", "--port", "1", "--port=2")]
    [InlineData("Shop:Redis (--redis)", "--redis", "127.0.0.1:port")]
    public async Task Options_that_do_not_go_together_are_refused(string named, params string[] arguments)
    {
        using var directory = new ShopDirectory();

        var (exitCode, _, errors) = await ShopProcess.RunAsync(directory.Path, arguments);

        Assert.Equal(2, exitCode);
        Assert.Contains(named, errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_lists_every_option()
    {
        using var directory = new ShopDirectory();

        var (exitCode, output, _) = await ShopProcess.RunAsync(directory.Path, "--help");

        Assert.Equal(0, exitCode);
        foreach (var option in (string[])["--redis", "--data", "--port", "--role", "--patience", "--orders", "--seed", "--json", "--kill-workers"])
            Assert.Contains(output, line => line.Contains(option, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Unreachable_Redis_is_named_with_exit_code_1()
    {
        using var directory = new ShopDirectory();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var endpoint = listener.LocalEndpoint.ToString()!;
        listener.Stop();

        var (exitCode, _, errors) = await ShopProcess.RunAsync(directory.Path, "--redis", endpoint);

        Assert.Equal(1, exitCode);
        Assert.Contains(endpoint, errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Second_Shop_on_a_data_directory_is_refused_with_exit_code_1()
    {
        using var directory = new ShopDirectory();
        await using var first = await ShopProcess.OpenAsync(directory.Path, "--data", directory.Data);

        var (exitCode, _, errors) = await ShopProcess.RunAsync(directory.Path, "--data", directory.Data, "--port", "0");

        Assert.Equal(1, exitCode);
        Assert.Contains(directory.Data, errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Interrupt_drains_and_ends_with_exit_code_0()
    {
        using var directory = new ShopDirectory();
        await using var shop = await ShopProcess.OpenAsync(directory.Path, "--data", directory.Data);
        using var client = new ShopClient(shop.Address);
        await client.PlaceAsync("tea", 1);

        Assert.Equal(0, await shop.InterruptAsync());
        Assert.DoesNotContain("   at ", shop.Errors, StringComparison.Ordinal);
    }
}
