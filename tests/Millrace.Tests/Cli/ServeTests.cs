using System.Net;
using Millrace.Tests.Clients;
using Millrace.Tests.Differential;
using Millrace.Tests.Server;

namespace Millrace.Tests.Cli;

/// <summary><c>millrace serve</c> as its users meet it: what it prints, refuses and leaves behind.</summary>
public sealed class ServeTests
{
    [Theory]
    [InlineData("Give --data DIR to keep the streams, or --memory.")]
    [InlineData("Give --data DIR or --memory, not both.", "--memory", "--data", "x")]
    [InlineData("--port takes a number from 0 to 65535, not 'many'.", "--memory", "--port", "many")]
    [InlineData("--port takes a number from 0 to 65535, not '65536'.", "--memory", "--port", "65536")]
    [InlineData("--bind takes an IP address, not 'nowhere'.", "--memory", "--bind", "nowhere")]
    [InlineData("--fsync takes always, everysec or no, not 'daily'.", "--data", "x", "--fsync", "daily")]
    [InlineData("--fsync needs --data DIR: what is in memory is never synced.", "--memory", "--fsync", "no")]
    [InlineData("--max-clients takes a number from 1 to 1000000, not '0'.", "--memory", "--max-clients", "0")]
    [InlineData("--maxmemory takes bytes, as in 1048576, 512mb or 2gb, not 'much'.", "--memory", "--maxmemory", "much")]
    [InlineData("--tls-cert and --tls-key need each other.", "--memory", "--tls-cert", "x")]
    [InlineData("Unrecognized command or argument '--frobnicate'.", "--memory", "--frobnicate")]
    [InlineData("Unrecognized command or argument '--frobnicate'.", "--memory", "--frobnicate", "7")]
    [InlineData("Unrecognized command or argument 'stray'.", "--memory", "stray")]
    [InlineData("--bind 0.0.0.0 can be reached from elsewhere: that needs --password or --users.", "--memory", "--bind", "0.0.0.0")]
    public async Task Serve_with_bad_options_says_why_in_one_line(string line, params string[] options) =>
        Assert.Equal(line, (await Tool.RunAsync(2, "", "dotnet", ["exec", MillraceServer.FindTool(), "serve", .. options])).Trim());

    [Fact]
    public async Task Serve_has_a_line_for_each_thing_that_is_wrong() => Assert.Equal(
        [
            "--fsync takes always, everysec or no, not 'daily'.",
            "--max-clients takes a number from 1 to 1000000, not '0'.",
            "--port takes a number from 0 to 65535, not 'many'.",
            "Give --data DIR to keep the streams, or --memory.",
        ],
        (await Tool.RunAsync(2, "", "dotnet", "exec", MillraceServer.FindTool(), "serve", "--port", "many", "--fsync", "daily", "--max-clients", "0"))
            .Trim().Split('\n').Order(StringComparer.Ordinal));

    [Fact]
    public async Task Unknown_command_is_refused_in_one_line() => Assert.Equal(
        "Unrecognized command or argument 'frobnicate'.",
        (await Tool.RunAsync(2, "", "dotnet", "exec", MillraceServer.FindTool(), "frobnicate", "7")).Trim());

    [Fact]
    public async Task Help_names_every_option_and_only_values_that_can_be_given()
    {
        var help = await Tool.RunAsync(0, "", "dotnet", "exec", MillraceServer.FindTool(), "serve", "--help");
        string[] options =
        [
            "--port <N>", "--bind <ADDR>", "--data <DIR>", "--memory", "--fsync <always|everysec|no>", "--password <P>", "--users <FILE>",
            "--maxmemory <N>", "--max-clients <N>", "--tls-cert <FILE>", "--tls-key <FILE>",
        ];
        Assert.All(options, option => Assert.Contains(option, help, StringComparison.Ordinal));
        Assert.DoesNotContain("EverySecond", help, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Serve_with_a_bad_file_of_users_says_where_and_why()
    {
        var path = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(path, "user alice on\nuser bob +nosuch\n", TestContext.Current.CancellationToken);
            Assert.Equal(
                $"--users: {path}:2: Error in applying operation '+nosuch': Unknown command or category name in ACL.",
                (await Tool.RunAsync(2, "", "dotnet", "exec", MillraceServer.FindTool(), "serve", "--memory", "--users", path)).Trim());
            File.Delete(path);
            Assert.Contains(
                path, await Tool.RunAsync(2, "", "dotnet", "exec", MillraceServer.FindTool(), "serve", "--memory", "--users", path), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task Serve_on_a_port_in_use_fails_and_says_so()
    {
        await using var first = await MillraceServer.StartAsync("--memory");
        var output = await Tool.RunAsync(
            1, "", "dotnet", "exec", MillraceServer.FindTool(), "serve", "--memory", "--port", $"{first.Endpoint.Port}");
        Assert.Contains("address already in use", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Serve_on_an_address_of_another_machine_fails_and_says_so_in_one_line()
    {
        // Kept for documentation (RFC 5737): nobody has it.
        var output = await Tool.RunAsync(
            1, "", "dotnet", "exec", MillraceServer.FindTool(), "serve", "--memory", "--bind", "192.0.2.1", "--password", "secret");
        Assert.Matches(@"^192\.0\.2\.1:6379 cannot be listened on: .+$", output.Trim());
    }

    [Fact]
    public async Task Serve_takes_no_more_clients_than_it_was_told()
    {
        await using var server = await MillraceServer.StartAsync("--memory", "--max-clients", "1");
        using var first = new RawConnection(server.Endpoint);
        Assert.Equal("+PONG\r\n", first.Exchange("PING"));
        using var second = new RawConnection(server.Endpoint);
        Assert.Equal("-ERR max number of clients reached\r\n", second.ReadText());
    }

    [Fact]
    public async Task Serve_says_on_the_standard_error_what_it_cut_off_a_journal()
    {
        var directory = Directory.CreateTempSubdirectory("millrace-serve-").FullName;
        try
        {
            await using var server = await MillraceServer.StartAsync("--data", directory);
            using (var client = new RawConnection(server.Endpoint))
                Assert.Equal("$3\r\n1-0\r\n", client.Exchange("XADD s 1-0 f v"));
            await server.KillAsync();
            await File.AppendAllTextAsync(Directory.GetFiles(directory, "*.journal").Single(), "torn", TestContext.Current.CancellationToken);

            await server.StartAgainAsync();
            using (var client = new RawConnection(server.Endpoint))
                Assert.Equal(":1\r\n", client.Exchange("XLEN s"));
            Assert.Equal(0, await server.StopAsync());
            Assert.Contains("ended in a write that was cut off: truncated 4 bytes", server.Output, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Serve_ends_with_0_on_SIGTERM_with_clients_connected()
    {
        await using var server = await MillraceServer.StartAsync("--memory");
        Assert.Equal(IPAddress.Loopback, server.Endpoint.Address);
        using var client = new RawConnection(server.Endpoint);
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
        Assert.Equal(0, await server.StopAsync());
        Assert.Throws<NoReplyException>(() => client.Exchange("PING"));
    }
}
