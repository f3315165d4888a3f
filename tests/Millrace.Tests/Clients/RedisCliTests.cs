using System.Globalization;

namespace Millrace.Tests.Clients;

/// <summary>What people do with redis-cli and redis-benchmark.</summary>
public sealed class RedisCliTests
{
    [Theory]
    [InlineData(ServerOfKind.Redis)]
    [InlineData(ServerOfKind.Millrace)]
    public async Task Streams_by_hand_look_the_same_in_both_protocols(string kind)
    {
        await using var server = await ServerOfKind.StartAsync(kind);

        Assert.Equal("1-1", await CliAsync(server, "XADD", "s", "1-1", "name", "å"));
        Assert.Equal("1) 1) \"1-1\"\n   2) 1) \"name\"\n      2) \"\\xc3\\xa5\"", await CliAsync(server, "--no-raw", "XRANGE", "s", "-", "+"));
        Assert.Equal("OK", await CliAsync(server, "XGROUP", "CREATE", "s", "g", "0"));
        Assert.Equal(
            "1# \"s\" => \n   1) 1) \"1-1\"\n      2) 1) \"name\"\n         2) \"\\xc3\\xa5\"",
            await CliAsync(server, "-3", "--no-raw", "XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"));
        Assert.Equal(
            "1) 1) \"s\"\n   2) (empty array)", await CliAsync(server, "--no-raw", "XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "1-1"));
        Assert.Equal("(nil)", await CliAsync(server, "-3", "--no-raw", "XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"));
        Assert.Equal("{\"s\":[[\"1-1\",[\"name\",\"å\"]]]}", await CliAsync(server, "-3", "--json", "XREAD", "STREAMS", "s", "0"));
        Assert.Contains("WRONGTYPE", await CliAsync(server, "GET", "s"), StringComparison.Ordinal);
        Assert.Equal("1\n2\n3", await CliAsync(server, "-r", "3", "INCR", "n"));
        Assert.Equal("PONG", await CliAsync(server, "-n", "3", "PING"));
        Assert.Equal("OK\nQUEUED\nQUEUED\n2-0\n2", await Tool.RunAsync("MULTI\nXADD s 2-0 f v\nXLEN s\nEXEC\n", "redis-cli", Address(server)));
    }

    [Theory]
    [InlineData(ServerOfKind.Redis)]
    [InlineData(ServerOfKind.Millrace)]
    public async Task Pipe_mode_and_scans_see_every_key(string kind)
    {
        await using var server = await ServerOfKind.StartAsync(kind);
        var commands = string.Concat(Enumerable.Range(0, 2_000).Select(i => $"XADD key:{i % 1000} {i + 1}-1 f v\r\n"));

        var piped = await Tool.RunAsync(1, commands + "XADD key:1 1-1 f v\r\n", "redis-cli", [.. Address(server), "--pipe"]);
        await CliAsync(server, "SET", "string", new string('x', 100));
        var scanned = await CliAsync(server, "--scan", "--pattern", "key:*");
        var big = await CliAsync(server, "--bigkeys");
        var memory = await CliAsync(server, "--memkeys");

        Assert.Contains("errors: 1, replies: 2001", piped, StringComparison.Ordinal);
        Assert.Equal(1_000, scanned.Split('\n').Distinct().Count());
        Assert.Contains("1000 streams with 2000 entries", big, StringComparison.Ordinal);
        Assert.Contains("1 strings with 100 bytes", big, StringComparison.Ordinal);
        Assert.Contains("Biggest stream found", memory, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ServerOfKind.Redis)]
    [InlineData(ServerOfKind.Millrace)]
    public async Task Monitor_shows_commands_and_stat_shows_figures(string kind)
    {
        await using var server = await ServerOfKind.StartAsync(kind);
        await using var monitor = Tool.Start("redis-cli", [.. Address(server), "MONITOR"]);
        await monitor.WaitForLineAsync("OK");

        await CliAsync(server, "XADD", "s", "1-1", "f", "a b\n");
        var line = await monitor.WaitForLineAsync("XADD");

        Assert.Matches("""^\d{10}\.\d{6} \[0 127\.0\.0\.1:\d+\] "XADD" "s" "1-1" "f" "a b\\n"$""", line);
        // redis-cli fills a buffer before it writes to a pipe, unless told otherwise.
        await using var stat = Tool.Start("stdbuf", ["-oL", "redis-cli", .. Address(server), "--stat", "-i", "0.05"]);
        await stat.WaitForLineAsync("keys       mem");
        var figures = (await stat.WaitForLineAsync("1 ")).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("1", figures[0]);
    }

    [Theory]
    [InlineData(ServerOfKind.Redis, "")]
    [InlineData(ServerOfKind.Redis, "-3")]
    [InlineData(ServerOfKind.Millrace, "")]
    [InlineData(ServerOfKind.Millrace, "-3")]
    public async Task Benchmark_runs_to_its_end(string kind, string protocol)
    {
        await using var server = await ServerOfKind.StartAsync(kind);
        string[] arguments = [.. Address(server), "-q", "-n", "10000", "-P", "16", "-c", "20", .. protocol.Length > 0 ? [protocol] : (string[])[]];

        var simple = await Tool.RunAsync("", "redis-benchmark", [.. arguments, "-t", "ping,set,get,incr,lpush,rpush,lpop,sadd"]);
        var streams = await Tool.RunAsync("", "redis-benchmark", [.. arguments, "XADD", "mystream", "*", "myfield", "__data__"]);

        foreach (var test in (string[])["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "SADD"])
            Assert.Contains($"{test}: ", simple, StringComparison.Ordinal);
        Assert.Contains("requests per second", streams, StringComparison.Ordinal);
        Assert.DoesNotContain("rror", simple + streams, StringComparison.Ordinal);
        Assert.Equal("10000", await CliAsync(server, "XLEN", "mystream"));
    }

    private static string[] Address(ServerOfKind server) =>
        ["-h", "127.0.0.1", "-p", server.Endpoint.Port.ToString(CultureInfo.InvariantCulture)];

    private static Task<string> CliAsync(ServerOfKind server, params string[] arguments) =>
        Tool.RunAsync("", "redis-cli", [.. Address(server), .. arguments]);
}
