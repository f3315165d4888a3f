using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Users;

/// <summary>Users and their rights, where Redis 7.0 answers otherwise or a script cannot show it.</summary>
public sealed class AclTests
{
    [Fact]
    public async Task Refusals_name_the_user_and_the_command_but_not_the_key()
    {
        await using var server = await TestServer.StartAsync();
        using var admin = server.Connect();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", admin.Exchange("ACL SETUSER alice on >p ~a* +get +config|get"));
        Assert.Equal("+OK\r\n", client.Exchange("AUTH alice p"));
        Assert.Equal("-NOPERM User alice has no permissions to run the 'set' command\r\n", client.Exchange("SET a x"));
        Assert.Equal("-NOPERM User alice has no permissions to run the 'config|set' command\r\n", client.Exchange("CONFIG SET a x"));
        Assert.Equal("-NOPERM No permissions to access a key\r\n", client.Exchange("GET b"));
        Assert.Equal("$-1\r\n", client.Exchange("GET a"));
        Assert.Contains(" user=alice ", admin.Exchange("CLIENT LIST"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Command_rules_are_shown_in_the_order_in_which_they_were_given()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("ACL SETUSER alice +@read -get +config|get +select|0 -@dangerous +GET");
        Assert.Equal(
            [
                "user alice off sanitize-payload resetchannels -@all +@read +config|get +select|0 -@dangerous +get",
                "user default on nopass sanitize-payload ~* &* +@all",
            ],
            client.Ask("ACL", "LIST").Children!.Select(line => line.Text));
        client.Exchange("ACL SETUSER alice -config");
        Assert.Contains("-@all +@read +select|0 -@dangerous +get -config\r\n", client.Exchange("ACL GETUSER alice"), StringComparison.Ordinal);
        Assert.Equal("-ERR Error in ACL SETUSER modifier '%R': Syntax error\r\n", client.Exchange("ACL SETUSER alice %R"));
    }

    [Fact]
    public async Task Deleted_users_are_disconnected_and_others_stay()
    {
        await using var server = await TestServer.StartAsync();
        using var admin = server.Connect();
        using var alice = server.Connect();
        using var waiting = server.Connect();
        using var bob = server.Connect();
        admin.Exchange("ACL SETUSER alice on nopass +@all ~*");
        admin.Exchange("ACL SETUSER bob on nopass +@all ~*");
        alice.Exchange("AUTH alice x");
        waiting.Exchange("AUTH alice x");
        bob.Exchange("AUTH bob x");
        waiting.Send(new Command("BLPOP", "list", "0"));
        Assert.Equal("+OK\r\n", bob.Exchange("ACL SETUSER alice resetpass off"));
        Assert.Equal("$5\r\nalice\r\n", alice.Exchange("ACL WHOAMI"));
        Assert.Equal(":1\r\n", admin.Exchange("ACL DELUSER alice"));
        Assert.Throws<NoReplyException>(() => alice.Exchange("PING"));
        Assert.Throws<NoReplyException>(() => waiting.ReadText());
        Assert.Equal(0, server.WaitingCount);

        // Who deletes itself hears that it did.
        Assert.Equal(":1\r\n", bob.Exchange("ACL DELUSER bob"));
        Assert.Throws<NoReplyException>(() => bob.Exchange("PING"));
        Assert.Equal("+PONG\r\n", admin.Exchange("PING"));
    }

    [Theory]
    [InlineData("SUBSCRIBE news.a", "resetchannels &other", true)]
    [InlineData("SSUBSCRIBE news.a", "resetchannels &other", true)]
    [InlineData("PSUBSCRIBE news.*", "resetchannels &news.a", true)]
    [InlineData("PSUBSCRIBE news.*", "resetchannels &news.*", false)]
    [InlineData("SUBSCRIBE news.a", "resetchannels &news.a", false)]
    public async Task Listener_that_may_not_hear_its_channel_any_more_is_disconnected(string subscription, string rules, bool isEnded)
    {
        await using var server = await TestServer.StartAsync();
        using var admin = server.Connect();
        using var listener = server.Connect();
        admin.Exchange("ACL SETUSER alice on nopass +@all &news.*");
        listener.Exchange("AUTH alice x");
        Assert.Equal("-NOPERM No permissions to access a channel\r\n", listener.Exchange("SUBSCRIBE news.a weather"));
        Assert.Equal("-NOPERM No permissions to access a channel\r\n", listener.Exchange("PSUBSCRIBE news.a*"));
        Assert.EndsWith(":1\r\n", listener.Exchange(subscription), StringComparison.Ordinal);
        Assert.Equal("+OK\r\n", admin.Exchange($"ACL SETUSER alice {rules}"));
        if (isEnded)
            Assert.Throws<NoReplyException>(() => listener.Exchange("PING"));
        else
            Assert.Equal("*2\r\n$4\r\npong\r\n$0\r\n\r\n", listener.Exchange("PING"));
    }

    [Fact]
    public async Task Client_kill_by_user_ends_that_user()
    {
        await using var server = await TestServer.StartAsync();
        using var admin = server.Connect();
        using var alice = server.Connect();
        admin.Exchange("ACL SETUSER alice on nopass +@all");
        alice.Exchange("AUTH alice x");
        Assert.Equal(":0\r\n", admin.Exchange("CLIENT KILL USER default"));
        Assert.Equal(":1\r\n", admin.Exchange("CLIENT KILL USER alice"));
        Assert.Throws<NoReplyException>(() => alice.Exchange("PING"));
    }

    [Fact]
    public async Task Log_counts_the_same_refusal_and_keeps_128()
    {
        await using var server = await TestServer.StartAsync();
        using var admin = server.Connect();
        using var client = server.Connect();
        admin.Exchange("ACL SETUSER alice on nopass +get +multi");
        client.Exchange("AUTH alice x");
        client.Exchange("GET k");
        client.Exchange("GET k");
        client.Exchange("AUTH nobody x");
        var log = admin.Ask("ACL", "LOG").Children!;
        Assert.Equal(2, log.Count);
        Assert.Equal(
            ["count", "reason", "context", "object", "username", "age-seconds", "client-info", "entry-id", "timestamp-created", "timestamp-last-updated"],
            log[0].Children!.Where((_, i) => i % 2 == 0).Select(field => field.Text));
        Assert.Equal(("auth", "AUTH", "nobody"), (log[0].Find("reason")!.Text, log[0].Find("object")!.Text, log[0].Find("username")!.Text));
        Assert.Equal(("2", "key", "k"), (log[1].Find("count")!.Text, log[1].Find("reason")!.Text, log[1].Find("object")!.Text));
        Assert.Equal(("0", "1"), (log[1].Find("entry-id")!.Text, log[0].Find("entry-id")!.Text));
        Assert.Contains(" cmd=get user=alice ", log[1].Find("client-info")!.Text, StringComparison.Ordinal);
        for (var i = 0; i < 200; i++)
            client.Exchange($"GET {i}");
        Assert.Equal(10, admin.Ask("ACL", "LOG").Children!.Count);
        Assert.Equal(128, admin.Ask("ACL", "LOG", "1000").Children!.Count);
        client.Exchange("GET " + new string('k', 5000));
        Assert.Equal(1024, admin.Ask("ACL", "LOG", "1").Children![0].Find("object")!.Text.Length);
        Assert.Equal("+OK\r\n", admin.Exchange("CONFIG SET acllog-max-len 3"));
        client.Exchange("GET last");
        Assert.Equal(3, admin.Ask("ACL", "LOG").Children!.Count);
        Assert.Equal("+OK\r\n", admin.Exchange("ACL LOG RESET"));
        Assert.Equal("*0\r\n", admin.Exchange("ACL LOG"));
    }

    [Fact]
    public async Task Requirepass_is_the_password_of_the_default_user()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET requirepass s3cret"));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
        using var later = server.Connect();
        Assert.Equal("-NOAUTH Authentication required.\r\n", later.Exchange("PING"));
        Assert.Equal("+OK\r\n", later.Exchange("AUTH s3cret"));
        Assert.Equal("*2\r\n$11\r\nrequirepass\r\n$6\r\ns3cret\r\n", later.Exchange("CONFIG GET requirepass"));
        client.Send(new Command("CONFIG", "SET", "requirepass", ""));
        Assert.Equal("+OK\r\n", client.ReadText());
        Assert.Contains("user default on nopass ", client.Exchange("ACL LIST"), StringComparison.Ordinal);
        using var last = server.Connect();
        Assert.Equal("+PONG\r\n", last.Exchange("PING"));
    }

    [Fact]
    public async Task Passwords_are_random_and_as_long_as_asked()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Matches("^\\$64\r\n[0-9a-f]{64}\r\n$", client.Exchange("ACL GENPASS"));
        Assert.Matches("^\\$2\r\n[0-9a-f]{2}\r\n$", client.Exchange("ACL GENPASS 5"));
        Assert.NotEqual(client.Exchange("ACL GENPASS"), client.Exchange("ACL GENPASS"));
    }

    [Fact]
    public async Task Names_and_patterns_of_any_bytes_come_back_as_they_were()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Send(new Command("ACL", "SETUSER", "u\xff", "on", "nopass", "~k\xfe*", "+get"));
        Assert.Equal("+OK\r\n", client.ReadText());
        Assert.Contains("user u\xff on nopass sanitize-payload ~k\xfe* resetchannels -@all +get\r\n", client.Exchange("ACL LIST"), StringComparison.Ordinal);
        client.Send(new Command("AUTH", "u\xff", "x"), new Command("GET", "k\xfe!"), new Command("GET", "k\xfd"));
        Assert.Equal("+OK\r\n$-1\r\n-NOPERM No permissions to access a key\r\n", client.ReadText() + client.ReadText() + client.ReadText());
    }

    [Theory]
    [InlineData("XREADGROUP GROUP g c BOGUS STREAMS k >", "-ERR syntax error\r\n")]
    [InlineData("XREADGROUP GROUP STREAMS k STREAMS k >", "-NOPERM No permissions to access a key\r\n")]
    [InlineData("XREADGROUP GROUP STREAMS a STREAMS k >", "-NOPERM No permissions to access a key\r\n")]
    [InlineData("XREAD COUNT 1 STREAMS a k 0 0", "-NOPERM No permissions to access a key\r\n")]
    public async Task Keys_behind_options_are_found_and_answered_once(string command, string reply)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("ACL SETUSER alice on nopass ~a +@all");
        client.Exchange("AUTH alice x");
        Assert.Equal(reply, client.Exchange(command));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
    }
}
