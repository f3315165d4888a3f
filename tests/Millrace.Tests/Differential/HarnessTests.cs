using System.Globalization;
using System.Net;
using System.Text;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Differential;

/// <summary>
/// The harness itself, between two redis-servers: no differences where there are none, and those put in are found and made small.
/// </summary>
public sealed class HarnessTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Two_servers_of_one_version_do_not_differ(int seed)
    {
        await using var reference = await RedisServer.StartAsync();
        await using var subject = await RedisServer.StartAsync();
        using var run = new DifferentialRun(reference.Port, new(IPAddress.Loopback, subject.Port));

        var report = run.Run(seed, 3_000);

        Assert.Null(report);
        Assert.True(run.Compared > 3_000);
        // The scripts do something: most commands succeed, and every one of them also fails now and then.
        foreach (var name in (string[])["XADD", "XREADGROUP", "XACK", "XCLAIM", "XAUTOCLAIM", "XPENDING", "XRANGE", "XDEL", "XINFO", "XGROUP"])
        {
            var (all, errors) = run.Coverage[name];
            Assert.InRange(errors, 1, all * 9 / 10);
        }
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public async Task Wrong_reply_is_found_and_made_small(int seed)
    {
        await using var reference = await RedisServer.StartAsync();
        await using var server = await RedisServer.StartAsync();
        var subject = new Side(new(IPAddress.Loopback, server.Port)) { Falsify = MiscountThree };
        using var run = new DifferentialRun(new Side(new(IPAddress.Loopback, reference.Port)), subject);

        var report = run.Run(seed, 3_000);

        // Three entries and the question are all it takes; a unit with commands that belong together may add one.
        Assert.NotNull(report);
        Assert.Contains("redis: :3", report, StringComparison.Ordinal);
        Assert.Contains("ours:  :4", report, StringComparison.Ordinal);
        Assert.InRange(report.Split('\n').Count(line => line.StartsWith("XADD ", StringComparison.OrdinalIgnoreCase)), 0, 4);
        var commands = int.Parse(report.Split("differs, ")[1].Split(' ')[0], CultureInfo.InvariantCulture);
        Assert.InRange(commands, 2, 6);
    }

    [Fact]
    public async Task Difference_that_no_reply_shows_is_found_in_the_end()
    {
        await using var reference = await RedisServer.StartAsync();
        await using var server = await RedisServer.StartAsync();
        using var left = new Side(new(IPAddress.Loopback, reference.Port));
        using var right = new Side(new(IPAddress.Loopback, server.Port)) { Falsify = HideKeys };
        Unit[] script = [new(UnitKind.Main, [new("XADD", "k0", "1-0", "f", "v")])];

        var difference = new ScriptRunner(left, right).Run(script, 2);

        Assert.Equal("KEYS *", difference?.Command.ToString());
    }

    private static byte[] MiscountThree(Command command, byte[] reply) =>
        command.Name == "XLEN" && reply.AsSpan().SequenceEqual(":3\r\n"u8) ? ":4\r\n"u8.ToArray() : reply;

    private static byte[] HideKeys(Command command, byte[] reply) =>
        command.Name == "KEYS" && Encoding.Latin1.GetString(reply).Contains("k0", StringComparison.Ordinal) ? "*0\r\n"u8.ToArray() : reply;
}
