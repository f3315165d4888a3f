using Millrace.Tests.Differential;

namespace Millrace.Tests.Server;

/// <summary>Who a client is: HELLO, AUTH, SELECT, CLIENT, and how it ends.</summary>
public sealed class SessionTests
{
    [Fact]
    public async Task Hello_switches_the_protocol_and_describes_the_server()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.StartsWith("*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n", client.Exchange("HELLO"), StringComparison.Ordinal);
        Assert.StartsWith(
            "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n8.10.0\r\n", client.Exchange("HELLO 3 SETNAME me"), StringComparison.Ordinal);
        Assert.Equal("$2\r\nme\r\n", client.Exchange("CLIENT GETNAME"));
        Assert.Equal("-NOPROTO unsupported protocol version\r\n", client.Exchange("HELLO 4"));
        Assert.Equal("-ERR Protocol version is not an integer or out of range\r\n", client.Exchange("HELLO x"));
        Assert.Equal("-ERR Syntax error in HELLO option 'AUTH'\r\n", client.Exchange("HELLO 2 AUTH default"));
        Assert.Equal("+RESET\r\n", client.Exchange("RESET"));
        Assert.Equal("$-1\r\n", client.Exchange("CLIENT GETNAME"));
    }

    [Fact]
    public async Task Password_is_asked_for_before_anything_else()
    {
        await using var server = await TestServer.StartAsync(options => options.Password = "s3cret");
        using var client = server.Connect();
        Assert.Equal("-NOAUTH Authentication required.\r\n", client.Exchange("PING"));
        Assert.StartsWith("-NOAUTH HELLO must be called", client.Exchange("HELLO 3"), StringComparison.Ordinal);
        Assert.StartsWith("-WRONGPASS", client.Exchange("AUTH wrong"), StringComparison.Ordinal);
        Assert.StartsWith("-WRONGPASS", client.Exchange("AUTH other s3cret"), StringComparison.Ordinal);
        Assert.StartsWith("*14\r\n", client.Exchange("HELLO 2 AUTH default s3cret"), StringComparison.Ordinal);
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
        Assert.Equal("+RESET\r\n", client.Exchange("RESET"));
        Assert.Equal("-NOAUTH Authentication required.\r\n", client.Exchange("PING"));
        Assert.Equal("+OK\r\n", client.Exchange("AUTH s3cret"));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
    }

    [Fact]
    public async Task Select_takes_the_databases_there_are()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", client.Exchange("SELECT 15"));
        Assert.Contains(" db=15 ", client.Exchange("CLIENT INFO"), StringComparison.Ordinal);
        Assert.Equal("-ERR DB index is out of range\r\n", client.Exchange("SELECT 16"));
        Assert.Equal("-ERR value is not an integer or out of range\r\n", client.Exchange("SELECT x"));
    }

    [Fact]
    public async Task Quit_answers_and_closes()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", client.Exchange("QUIT"));
        Assert.Throws<NoReplyException>(() => client.ReadText());
    }

    [Fact]
    public async Task Client_kill_ends_another_and_not_itself()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        using var other = server.Connect();
        var id = other.Exchange("CLIENT ID")[1..^2];
        Assert.Equal("+OK\r\n", client.Exchange("CLIENT SETNAME killer"));
        Assert.Equal(":0\r\n", client.Exchange("CLIENT KILL ID 999"));
        Assert.Equal(":1\r\n", client.Exchange("CLIENT KILL TYPE normal"));
        Assert.Throws<NoReplyException>(() => other.Exchange("PING"));
        Assert.DoesNotContain($"id={id} ", client.Exchange("CLIENT LIST"), StringComparison.Ordinal);
        Assert.Equal("-ERR No such client\r\n", client.Exchange("CLIENT KILL 1.2.3.4:5"));
        Assert.Equal("-ERR Unknown client type 'x'\r\n", client.Exchange("CLIENT KILL TYPE x"));
        Assert.Equal("-ERR Client names cannot contain spaces, newlines or special characters.\r\n", client.Exchange("CLIENT SETNAME a\n"));
    }

    [Fact]
    public async Task Command_and_info_describe_what_there_is()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("*1\r\n$-1\r\n", client.Exchange("COMMAND INFO nope"));
        Assert.StartsWith(
            "*1\r\n*10\r\n$4\r\nxlen\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n",
            client.Exchange("COMMAND INFO XLEN"),
            StringComparison.Ordinal);
        Assert.Equal("*1\r\n$1\r\nk\r\n", client.Exchange("COMMAND GETKEYS XLEN k"));
        Assert.Equal("-ERR The command has no key arguments\r\n", client.Exchange("COMMAND GETKEYS ECHO k"));
        Assert.Equal("-ERR unknown subcommand 'nope'. Try COMMAND HELP.\r\n", client.Exchange("COMMAND nope"));
        Assert.StartsWith("*15\r\n+COMMAND <subcommand> ", client.Exchange("COMMAND HELP"), StringComparison.Ordinal);
        Assert.Contains("redis_version:8.10.0\r\n", client.Exchange("INFO server"), StringComparison.Ordinal);
    }
}
