using System.Globalization;
using System.Text;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Server;

/// <summary>What a client may ask for, and what becomes of one that asks for more.</summary>
public sealed class LimitTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Client_too_many_is_told_so_and_closed()
    {
        await using var server = await TestServer.StartAsync(options => options.MaxClients = 2);
        using var first = server.Connect();
        first.Exchange("PING");
        using (var second = server.Connect())
        {
            second.Exchange("PING");
            using var third = server.Connect();
            Assert.Equal("-ERR max number of clients reached\r\n", third.ReadText());
            Assert.Throws<NoReplyException>(() => third.ReadText());
        }

        // A place that is free again is given away again.
        await Eventually.TrueAsync("a client fits when another has gone", () => new(TryPing(server)));
    }

    [Fact]
    public async Task Client_that_does_not_read_its_replies_waits_with_its_next_requests()
    {
        const int Requests = 64;
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        using var other = server.Connect();
        AddLargeEntry(client);

        client.Send(Enumerable.Repeat(new Command("XRANGE", "large", "-", "+"), Requests));
        var reply = client.ReadText();
        for (var i = 1; i < Requests; i++)
        {
            // One reply above the mark at most, however long the client reads nothing: no turn follows until all is sent.
            Assert.InRange(OutputBytes(other), 0, (2 * MiB) + 1024);
            Assert.Equal(reply, client.ReadText());
        }

        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
    }

    [Fact]
    public async Task Reply_above_the_limit_disconnects_after_its_command_ran()
    {
        await using var server = await TestServer.StartAsync(options => options.MaxOutputBytes = 3 * MiB);
        using var client = server.Connect();
        using var other = server.Connect();
        AddLargeEntry(client);
        client.Exchange("MULTI");
        for (var i = 0; i < 4; i++)
            client.Exchange("XRANGE large - +");
        client.Exchange("XADD after * f v");

        Assert.Throws<NoReplyException>(() => client.Exchange("EXEC"));

        Assert.Equal(":1\r\n", other.Exchange("XLEN after"));
        Assert.Equal(0, OutputBytes(other));
    }

    [Fact]
    public async Task Silent_client_is_disconnected_unless_it_waits_for_a_key_or_a_message()
    {
        var time = new ManualTimeProvider();
        await using var server = await TestServer.StartAsync(options => options.IdleTimeout = TimeSpan.FromSeconds(10), time);
        using var silent = server.Connect();
        using var waiting = server.Connect();
        using var subscriber = server.Connect();
        subscriber.Exchange("SUBSCRIBE c");
        silent.Exchange("PING");
        waiting.Send(new Command("XREAD", "BLOCK", "0", "STREAMS", "s", "$"));
        while (server.WaitingCount == 0)
            await Task.Yield();

        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal("+PONG\r\n", silent.Exchange("PING"));
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal("+PONG\r\n", silent.Exchange("PING"));
        time.Advance(TimeSpan.FromSeconds(11));
        Assert.Throws<NoReplyException>(() => silent.Exchange("PING"));

        using var writer = server.Connect();
        Assert.Equal(":1\r\n", writer.Exchange("PUBLISH c m"));
        Assert.Equal("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", subscriber.ReadText());
        writer.Exchange("XADD s 1-0 f v");
        Assert.Equal("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", waiting.ReadText());
    }

    [Fact]
    public async Task Timeout_that_is_set_later_disconnects_the_silent_and_zero_ends_it()
    {
        var time = new ManualTimeProvider();
        await using var server = await TestServer.StartAsync(time: time);
        using var silent = server.Connect();
        using var client = server.Connect();
        silent.Exchange("PING");
        time.Advance(TimeSpan.FromMinutes(1));

        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET timeout 10"));
        time.Advance(TimeSpan.FromSeconds(5));
        Assert.Throws<NoReplyException>(() => silent.Exchange("PING"));

        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET timeout 0"));
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
    }

    [Theory]
    [InlineData("*11\r\n", "unauthenticated multibulk length")]
    [InlineData("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length")]
    public async Task Client_that_has_not_authenticated_has_room_for_a_login_only(string request, string error)
    {
        await using var server = await TestServer.StartAsync(options => options.Password = "p");
        using var stranger = server.Connect();
        stranger.Send(Encoding.ASCII.GetBytes(request));
        Assert.Equal($"-ERR Protocol error: {error}\r\n", stranger.ReadText());
        Assert.Throws<NoReplyException>(() => stranger.ReadText());

        // The limits end with the login, also for what was sent together with it.
        using var friend = server.Connect();
        friend.Send(new Command("AUTH", "p"), new Command("ECHO", new string('x', 20_000)), new Command([.. Enumerable.Repeat("DEL", 20)]));
        Assert.Equal("+OK\r\n", friend.ReadText());
        Assert.Equal(20_000 + "$20000\r\n\r\n".Length, friend.ReadText().Length);
        Assert.Equal(":0\r\n", friend.ReadText());
    }

    [Fact]
    public async Task Input_that_ends_with_a_full_turn_ends_the_connection()
    {
        await using var server = await TestServer.StartAsync();
        using var other = server.Connect();
        using (var client = server.Connect())
            client.Send(Enumerable.Repeat(new Command("PING"), 1024));

        await Eventually.TrueAsync(
            "the client is gone", () => new(other.Exchange("CLIENT LIST").Split('\n').Count(line => line.StartsWith("id=", StringComparison.Ordinal)) == 1));
    }

    [Fact]
    public async Task Turn_of_slow_commands_ends_before_the_pipeline_does()
    {
        await using var server = await TestServer.StartAsync(time: new HastyTime());
        using var client = server.Connect();
        client.Send([new Command("XADD", "s", "*", "f", "v"), .. Enumerable.Repeat(new Command("KEYS", "x"), 64), new Command("XADD", "s", "*", "f", "v")]);
        var first = client.ReadText();
        for (var i = 0; i < 64; i++)
            Assert.Equal("*0\r\n", client.ReadText());

        // All commands of a turn have the same moment.
        Assert.EndsWith("-0\r\n", first, StringComparison.Ordinal);
        Assert.EndsWith("-0\r\n", client.ReadText(), StringComparison.Ordinal);
    }

    /// <summary>An entry of 1 MiB in the stream <c>large</c>.</summary>
    private static void AddLargeEntry(RawConnection client) => client.Exchange("XADD large 1-0 f " + new string('x', MiB));

    private static bool TryPing(TestServer server)
    {
        using var client = server.Connect();
        try
        {
            return client.Exchange("PING") == "+PONG\r\n";
        }
        catch (NoReplyException)
        {
            return false;
        }
    }

    /// <summary>Bytes that wait for all other clients.</summary>
    private static long OutputBytes(RawConnection asker) => asker.Exchange("CLIENT LIST").Split(' ')
        .Where(word => word.StartsWith("omem=", StringComparison.Ordinal))
        .Sum(word => long.Parse(word["omem=".Length..], CultureInfo.InvariantCulture));

    /// <summary>A clock by which everything takes a millisecond.</summary>
    private sealed class HastyTime : TimeProvider
    {
        private long _ms;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => Interlocked.Increment(ref _ms);

        public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddMilliseconds(GetTimestamp());
    }
}
