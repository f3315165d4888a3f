using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Server;

/// <summary>CLIENT PAUSE and UNPAUSE. Replies as redis-server 7.0.15 gives them.</summary>
public sealed class PauseTests
{
    [Fact]
    public async Task Pause_of_writes_holds_them_until_it_is_lifted()
    {
        await using var server = await TestServer.StartAsync();
        using var pauser = server.Connect();
        using var writer = server.Connect();
        Assert.Equal("+OK\r\n", pauser.Exchange("CLIENT PAUSE 100000 WRITE"));
        writer.Send(new Command("GET", "k"), new Command("SET", "k", "v"), new Command("GET", "k"));
        Assert.Equal("$-1\r\n", writer.ReadText());
        await HeldAsync(pauser, 1);

        // What comes meanwhile stays behind what is held, and a shorter pause does not end the longer.
        writer.Send(new Command("PING"));
        Assert.Equal("+OK\r\n", pauser.Exchange("CLIENT PAUSE 1 WRITE"));
        Assert.Equal("$-1\r\n", pauser.Exchange("GET k"));
        Assert.False(writer.HasInput);

        Assert.Equal("+OK\r\n", pauser.Exchange("CLIENT UNPAUSE"));
        Assert.Equal("+OK\r\n", writer.ReadText());
        Assert.Equal("$1\r\nv\r\n", writer.ReadText());
        Assert.Equal("+PONG\r\n", writer.ReadText());
    }

    [Fact]
    public async Task Pause_of_writes_holds_transactions_and_messages()
    {
        await using var server = await TestServer.StartAsync();
        using var pauser = server.Connect();
        using var writer = server.Connect();
        using var publisher = server.Connect();
        writer.Exchange("MULTI");
        writer.Exchange("SET k v");
        pauser.Exchange("CLIENT PAUSE 100000 WRITE");
        writer.Send(new Command("EXEC"));
        publisher.Send(new Command("PUBLISH", "c", "m"));
        await HeldAsync(pauser, 2);
        pauser.Exchange("CLIENT UNPAUSE");
        Assert.Equal("*1\r\n+OK\r\n", writer.ReadText());
        Assert.Equal(":0\r\n", publisher.ReadText());
    }

    [Fact]
    public async Task Pause_of_all_ends_by_itself()
    {
        var time = new ManualTimeProvider();
        await using var server = await TestServer.StartAsync(time: time);
        using var pauser = server.Connect();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", pauser.Exchange("CLIENT PAUSE 1000"));
        client.Send(new Command("NOPE"), new Command("PING"));
        pauser.Send(new Command("CLIENT", "UNPAUSE"));
        Assert.Equal("-ERR unknown command 'NOPE'\r\n", client.ReadText());
        time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.False(client.HasInput);
        time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal("+PONG\r\n", client.ReadText());
        Assert.Equal("+OK\r\n", pauser.ReadText());
    }

    [Theory]
    [InlineData("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n")]
    [InlineData("CLIENT PAUSE -1", "-ERR timeout is negative\r\n")]
    [InlineData("CLIENT PAUSE 1 NEVER", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n")]
    [InlineData("CLIENT PAUSE 1 ALL x", "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.\r\n")]
    [InlineData("CLIENT UNPAUSE x", "-ERR wrong number of arguments for 'client|unpause' command\r\n")]
    public async Task Pause_refuses_as_Redis_does(string command, string reply)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal(reply, client.Exchange(command));
        Assert.Equal("$-1\r\n", client.Exchange("GET k"));
    }

    private static async Task HeldAsync(RawConnection asker, int count) => await Eventually.TrueAsync(
        $"{count} clients are held",
        () => new(asker.Exchange("CLIENT LIST").Split('\n').Count(line => line.Contains(" flags=b ", StringComparison.Ordinal) ||
            line.Contains(" flags=xb ", StringComparison.Ordinal)) == count));
}
