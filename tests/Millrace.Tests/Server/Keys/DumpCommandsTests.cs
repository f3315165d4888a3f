using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Keys;

/// <summary>DUMP and RESTORE.</summary>
public sealed class DumpCommandsTests
{
    private const string Refused = "-ERR DUMP payload version or checksum are wrong\r\n";

    private const string Busy = "-BUSYKEY Target key name already exists.\r\n";

    private static readonly string[] Fill =
    [
        "CONFIG SET stream-node-max-entries 3", "XADD s 1-1 a 1 b 2", "XADD s 1-2 a 3 b 4", "XADD s 2-0 other x", "XADD s 5-5 a 5 b 6",
        "XADD s 6-0 a b", "XADD s 7-0 a b", "XADD s IDMP p one * a b", "XGROUP CREATE s g 0", "XGROUP CREATE s h $ ENTRIESREAD 2",
        "XGROUP CREATECONSUMER s g idle", "XREADGROUP GROUP g c COUNT 4 STREAMS s >", "XREADGROUP GROUP g d COUNT 1 STREAMS s >",
        "XNACK s g FAIL IDS 1 5-5", "XNACK s g FAIL IDS 1 1-1", "XDEL s 1-2 7-0",
    ];

    [Fact]
    public async Task Stream_comes_back_with_groups_and_all_that_belongs_to_it()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        foreach (var command in Fill)
            Assert.False(client.Exchange(command).StartsWith('-'), command);

        Assert.Equal("+OK\r\n", Restore(client, "copy", "0", Dump(client, "s")));
        Assert.Equal(Dump(client, "s"), Dump(client, "copy"));

        string[] questions =
        [
            "XINFO STREAM {0} FULL COUNT 0", "XINFO STREAM {0}", "XINFO GROUPS {0}", "XRANGE {0} - +", "XPENDING {0} g", "OBJECT ENCODING {0}",
            "XADD {0} IDMP p one * a b", "XTRIM {0} MAXLEN ~ 2", "XRANGE {0} - +", "XAUTOCLAIM {0} g e 0 0 COUNT 1", "XACK {0} g 1-1 2-0",
        ];
        foreach (var question in questions)
            Assert.Equal(client.Exchange(string.Format(null, question, "s")), client.Exchange(string.Format(null, question, "copy")));
        server.Store.EngineNeedsLock.Verify();
    }

    [Theory]
    [InlineData("SET k value")]
    [InlineData("RPUSH k a b a")]
    [InlineData("SADD k a b c")]
    public async Task Values_of_other_types_come_back(string command)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange(command);
        var payload = Dump(client, "k");
        Assert.Equal("+OK\r\n", Restore(client, "copy", "100000", payload));
        Assert.Equal(payload, Dump(client, "copy"));
        Assert.Equal(client.Exchange("TYPE k"), client.Exchange("TYPE copy"));
        Assert.InRange(long.Parse(client.Exchange("PTTL copy")[1..^2]), 1, 100_000);
        Assert.Equal("$-1\r\n", client.Exchange("DUMP nope"));
    }

    [Fact]
    public async Task Payload_that_was_changed_or_is_of_redis_is_refused_and_changes_nothing()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SET k value");
        var payload = Dump(client, "k");
        for (var i = 0; i < payload.Length; i++)
        {
            var changed = payload[..i] + (char)(payload[i] ^ 1) + payload[(i + 1)..];
            Assert.Equal(Refused, Restore(client, "k", "0", changed, "REPLACE"));
            Assert.Equal(Refused, Restore(client, "other", "0", payload[..i]));
        }

        Assert.Equal(Refused, Restore(client, "other", "0", "\0\u0001v\n\0\u0091\b\u00ce\u00b2\u00198\u008a\u00ce"));
        Assert.Equal("$5\r\nvalue\r\n", client.Exchange("GET k"));
        Assert.Equal(":1\r\n", client.Exchange("DBSIZE"));
    }

    [Fact]
    public async Task Restore_answers_in_the_order_of_redis()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SET k value");
        var payload = Dump(client, "k");
        Assert.Equal("-ERR syntax error\r\n", Restore(client, "k", "0", payload, "FOO"));
        Assert.Equal("-ERR syntax error\r\n", Restore(client, "k", "0", payload, "IDLETIME"));
        Assert.Equal("-ERR syntax error\r\n", Restore(client, "k", "0", payload, "IDLETIME", "1", "FREQ", "2"));
        Assert.Equal("-ERR value is not an integer or out of range\r\n", Restore(client, "k", "0", payload, "IDLETIME", "x"));
        Assert.Equal("-ERR Invalid IDLETIME value, must be >= 0\r\n", Restore(client, "k", "0", payload, "IDLETIME", "-1"));
        Assert.Equal("-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n", Restore(client, "k", "0", payload, "FREQ", "256"));
        Assert.Equal(Busy, Restore(client, "k", "x", "nonsense"));
        Assert.Equal("-ERR value is not an integer or out of range\r\n", Restore(client, "n", "x", payload));
        Assert.Equal("-ERR Invalid TTL value, must be >= 0\r\n", Restore(client, "n", "-1", payload));
        Assert.Equal(Refused, Restore(client, "n", "0", "nonsense"));
        Assert.Equal("+OK\r\n", Restore(client, "k", "0", payload, "REPLACE", "IDLETIME", "5"));

        // A moment in the past: what was there is gone.
        Assert.Equal("+OK\r\n", Restore(client, "k", "1", payload, "ABSTTL", "REPLACE"));
        Assert.Equal(":0\r\n", client.Exchange("EXISTS k"));
    }

    [Fact]
    public async Task Value_that_no_argument_could_carry_is_not_dumped()
    {
        await using var server = await TestServer.StartAsync(options => options.MaxBulkBytes = 2_000);
        using var client = server.Connect();
        for (var i = 0; i < 3; i++)
            client.Exchange($"XADD s * f {new string('x', 1_000)}");
        Assert.Equal("-ERR The value takes more than 2000 bytes.\r\n", client.Exchange("DUMP s"));
    }

    private static string Dump(RawConnection client, string key)
    {
        var reply = client.Exchange($"DUMP {key}");
        Assert.StartsWith("$", reply, StringComparison.Ordinal);
        return reply[(reply.IndexOf('\n', StringComparison.Ordinal) + 1)..^2];
    }

    private static string Restore(RawConnection client, string key, string timeToLive, string payload, params string[] options)
    {
        client.Send(new Command(["RESTORE", key, timeToLive, payload, .. options]));
        return client.ReadText();
    }
}
