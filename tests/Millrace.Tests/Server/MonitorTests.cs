using System.Text.RegularExpressions;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server;

/// <summary>MONITOR, and CLIENT REPLY: who is shown what. Lines and replies as redis-server 7.0.15 gives them.</summary>
public sealed partial class MonitorTests
{
    [Fact]
    public async Task Monitor_shows_commands_as_they_ran()
    {
        await using var server = await TestServer.StartAsync();
        using var monitor = server.Connect();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", monitor.Exchange("MONITOR"));

        client.Exchange("SELECT 3");
        client.Exchange("ECHO a\"b\\c\n\r\t\a\b\0\x7f\xff");
        client.Exchange("NOPE");
        client.Exchange("CONFIG GET port");
        client.Exchange("AUTH user secret");
        client.Exchange("HELLO 2 AUTH default secret SETNAME me");
        client.Exchange("MULTI");
        client.Exchange("get k");
        client.Exchange("EXEC");
        client.Exchange("XREAD BLOCK 1 STREAMS s $");
        client.Exchange("QUIT");

        Assert.Equal("[3] \"SELECT\" \"3\"", ReadLine(monitor));
        Assert.Equal("[3] \"ECHO\" \"a\\\"b\\\\c\\n\\r\\t\\a\\b\\x00\\x7f\\xff\"", ReadLine(monitor));
        Assert.Equal("[3] \"AUTH\" \"(redacted)\" \"(redacted)\"", ReadLine(monitor));
        Assert.Equal("[3] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"me\"", ReadLine(monitor));
        Assert.Equal("[3] \"MULTI\"", ReadLine(monitor));
        Assert.Equal("[3] \"get\" \"k\"", ReadLine(monitor));
        Assert.Equal("[3] \"EXEC\"", ReadLine(monitor));
        Assert.Equal("[3] \"XREAD\" \"BLOCK\" \"1\" \"STREAMS\" \"s\" \"$\"", ReadLine(monitor));
        Assert.Equal("[3] \"QUIT\"", ReadLine(monitor));
    }

    [Fact]
    public async Task Monitor_sees_itself_and_leaves_keys_alone()
    {
        await using var server = await TestServer.StartAsync();
        using var monitor = server.Connect();
        using var client = server.Connect();
        monitor.Exchange("MONITOR");
        Assert.Equal("+PONG\r\n", monitor.Exchange("PING"));
        Assert.Equal("[0] \"PING\"", ReadLine(monitor));
        Assert.Equal("-ERR Replica can't interact with the keyspace\r\n", monitor.Exchange("GET k"));
        Assert.Equal("-ERR Replica can't interact with the keyspace\r\n", monitor.Exchange("PUBLISH c m"));
        Assert.Contains(" flags=O ", client.Exchange("CLIENT LIST TYPE normal"), StringComparison.Ordinal);
        Assert.Equal("+RESET\r\n", monitor.Exchange("RESET"));
        client.Exchange("ECHO unseen");
        Assert.Equal("$-1\r\n", monitor.Exchange("GET k"));

        monitor.Exchange("MULTI");
        monitor.Exchange("MONITOR");
        Assert.Equal("*1\r\n-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n", monitor.Exchange("EXEC"));
    }

    [Fact]
    public async Task Monitor_that_does_not_read_is_disconnected()
    {
        await using var server = await TestServer.StartAsync(options => options.MaxOutputBytes = 1024 * 1024);
        using var monitor = server.Connect();
        using var client = server.Connect();
        monitor.Exchange("MONITOR");

        var echo = new Command("ECHO", new string('x', 100 * 1024));
        for (var i = 0; client.Exchange("CLIENT LIST").Contains(" flags=O ", StringComparison.Ordinal); i++)
        {
            Assert.InRange(i, 0, 10_000);
            client.Send(echo);
            client.Read();
        }
    }

    [Fact]
    public async Task Reply_off_and_skip_show_nothing_but_pushes()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        using var other = server.Connect();
        client.Exchange("HELLO 3");
        client.Send(
            new Command("CLIENT", "REPLY", "OFF"),
            new Command("PING"),
            new Command("NOPE"),
            new Command("SUBSCRIBE", "c"),
            new Command("PUBLISH", "c", "own"),
            new Command("CLIENT", "REPLY", "SKIP"));
        Assert.Equal(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", client.ReadText());
        Assert.Equal(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\nown\r\n", client.ReadText());
        Assert.Equal("+OK\r\n", client.Exchange("CLIENT REPLY ON"));

        client.Send(
            new Command("CLIENT", "REPLY", "SKIP"),
            new Command("ECHO", "skipped"),
            new Command("CLIENT", "REPLY", "SKIP"),
            new Command("XREAD", "BLOCK", "1", "STREAMS", "s", "$"),
            new Command("ECHO", "shown"));
        Assert.Equal("$5\r\nshown\r\n", client.ReadText());
        Assert.Equal("-ERR syntax error\r\n", client.Exchange("CLIENT REPLY NEVER"));
        client.Send(new Command("CLIENT", "REPLY", "OFF"));
        Assert.Equal("+RESET\r\n", client.Exchange("RESET"));
    }

    /// <summary>A line without its time and address.</summary>
    private static string ReadLine(RawConnection monitor)
    {
        var line = Line().Match(monitor.ReadText());
        Assert.True(line.Success);
        return $"[{line.Groups["db"]}] {line.Groups["request"]}";
    }

    [GeneratedRegex(@"^\+\d+\.\d{6} \[(?<db>\d+) 127\.0\.0\.1:\d+\] (?<request>.*)\r\n$")]
    private static partial Regex Line();
}
