using System.Globalization;
using Millrace.Embedded;
using Millrace.Server;
using Millrace.Streams;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Server.Admin;

/// <summary>maxmemory, MEMORY, and what INFO says of memory.</summary>
public sealed class MemoryTests
{
    private const string Refused = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

    [Fact]
    public async Task Commands_that_need_memory_are_refused_above_the_limit_until_there_is_room()
    {
        await using var server = await TestServer.StartAsync(maxMemoryBytes: 20_000);
        using var client = server.Connect();
        var value = new string('x', 1_000);
        var added = 0;
        while (client.Exchange($"XADD s * f {value}").StartsWith('$'))
            Assert.InRange(++added, 1, 20);

        Assert.Equal(Refused, client.Exchange("XADD s * f v"));
        Assert.Equal(Refused, client.Exchange("SET k v"));
        Assert.Equal(Refused, client.Exchange("XGROUP CREATE s g 0"));
        Assert.Equal($":{added}\r\n", client.Exchange("XLEN s"));
        Assert.Equal("*0\r\n", client.Exchange("XRANGE s + -"));
        Assert.InRange(Used(client.Exchange("INFO memory")), 20_000, 40_000);
        Assert.Contains("\r\nmaxmemory:20000\r\nmaxmemory_human:19.53K\r\n", client.Exchange("INFO memory"), StringComparison.Ordinal);

        Assert.Equal(":1\r\n", client.Exchange("DEL s"));
        Assert.Equal("+OK\r\n", client.Exchange("SET k v"));
    }

    [Fact]
    public async Task Transactions_are_refused_when_a_command_of_theirs_would_be()
    {
        await using var server = await TestServer.StartAsync(maxMemoryBytes: 10_000);
        using var client = server.Connect();
        using var other = server.Connect();
        client.Exchange("MULTI");
        Assert.Equal("+QUEUED\r\n", client.Exchange("SET k v"));
        other.Exchange($"SET big {new string('x', 20_000)}");
        Assert.Equal(
            "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.\r\n", client.Exchange("EXEC"));
        Assert.Equal("-ERR EXEC without MULTI\r\n", client.Exchange("EXEC"));

        client.Exchange("MULTI");
        Assert.Equal(Refused, client.Exchange("SET k v"));
        Assert.Equal("-EXECABORT Transaction discarded because of previous errors.\r\n", client.Exchange("EXEC"));

        client.Exchange("MULTI");
        Assert.Equal("+QUEUED\r\n", client.Exchange("DEL big"));
        Assert.Equal("*1\r\n:1\r\n", client.Exchange("EXEC"));
    }

    [Fact]
    public async Task Memory_goes_back_to_nothing_with_the_last_key_of_every_type()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        string[] commands =
        [
            "SET k v", "SET k longer", "LPUSH l a b c", "RPOP l", "SADD t a b c", "SREM t a", "XADD s 1-1 a b", "XADD s IDMP p i * a b",
            "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >", "XACK s g 1-1", "XDEL s 1-1", "COPY s other", "RENAME s again", "EXPIRE k 100",
        ];
        foreach (var command in commands)
            Assert.False(client.Exchange(command).StartsWith('-'), command);
        Assert.InRange(Used(client.Exchange("INFO memory")), 1_000, 10_000);
        Assert.Equal(":5\r\n", client.Exchange("DEL k l t again other"));
        Assert.Equal(0, Used(client.Exchange("INFO memory")));
        client.Exchange("SET k v");
        client.Exchange("FLUSHALL");
        Assert.Equal(0, Used(client.Exchange("INFO memory")));
    }

    [Fact]
    public async Task Limit_can_be_set_while_the_server_runs()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SET k v");
        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET maxmemory 100b"));
        Assert.Equal(Refused, client.Exchange("SET k w"));
        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET maxmemory 1kb"));
        Assert.Equal("+OK\r\n", client.Exchange("SET k w"));
    }

    [Fact]
    public async Task What_the_process_appends_itself_counts_and_is_refused_by_the_same_limit()
    {
        await using var server = await TestServer.StartAsync(maxMemoryBytes: 1_000);
        using var client = server.Connect();
        var fields = EntryFields.Create(("f", new string('x', 1_000)));
        await server.Store.AppendAsync("s", fields);

        Assert.Equal(Refused, client.Exchange("XADD s * f v"));
        var refused = await Assert.ThrowsAsync<StreamException>(() => server.Store.AppendAsync("s", fields).AsTask());

        Assert.Equal(StreamErrorCode.OutOfMemory, refused.Code);
        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET maxmemory 1mb"));
        await server.Store.AppendAsync("s", fields);
    }

    /// <summary>Publishers in the process may wait; who takes memory away or gives more by a command lets them go on.</summary>
    [Theory]
    [InlineData("CONFIG SET maxmemory 0")]
    [InlineData("DEL s")]
    [InlineData("XTRIM s MAXLEN 0")]
    public async Task Command_that_makes_room_lets_a_publisher_of_the_process_go_on(string command)
    {
        await using var store = new EmbeddedStreamStore(new() { MaxMemoryBytes = 100_000, WhenFull = WhenFull.Wait });
        await using var server = new RespServer(store, new() { Port = 0 });
        await server.StartAsync(TestContext.Current.CancellationToken);
        using var client = new RawConnection(server.Endpoint);
        var fields = EntryFields.Create(("f", new string('x', 1_000)));
        await store.AppendManyAsync("s", [.. Enumerable.Repeat(fields, 200)], cancellationToken: TestContext.Current.CancellationToken);
        var waiting = store.AppendAsync("s", fields, cancellationToken: TestContext.Current.CancellationToken).AsTask();
        Assert.Equal(Refused, client.Exchange("XADD s * f v"));
        Assert.False(waiting.IsCompleted);

        client.Exchange(command);

        await waiting.WaitAsync(Eventually.Deadline, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Memory_usage_of_a_stream_is_near_what_it_holds()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        for (var i = 0; i < 100; i++)
            client.Exchange($"XADD s * f {new string('x', 1_000)}");
        Assert.InRange(long.Parse(client.Exchange("MEMORY USAGE s SAMPLES 0")[1..^2], CultureInfo.InvariantCulture), 100_000, 250_000);
        Assert.Equal("$-1\r\n", client.Exchange("MEMORY USAGE nope"));
        Assert.Equal("-ERR syntax error\r\n", client.Exchange("MEMORY USAGE s SAMPLES -1"));
        Assert.Equal("-ERR syntax error\r\n", client.Exchange("MEMORY USAGE s SAMPLES"));
        Assert.Equal("-ERR value is not an integer or out of range\r\n", client.Exchange("MEMORY USAGE s SAMPLES x"));
        Assert.Equal("+OK\r\n", client.Exchange("MEMORY PURGE"));
        Assert.StartsWith("*22\r\n$14\r\npeak.allocated\r\n:", client.Exchange("MEMORY STATS"), StringComparison.Ordinal);
        Assert.Contains("maxmemory is 0", client.Exchange("MEMORY DOCTOR"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("100b", 100)]
    [InlineData("2k", 2_000)]
    [InlineData("2KB", 2_048)]
    [InlineData("3m", 3_000_000)]
    [InlineData("3mb", 3 * 1024 * 1024)]
    [InlineData("1g", 1_000_000_000)]
    [InlineData("1Gb", 1024 * 1024 * 1024)]
    public void Bytes_are_read_with_Redis_units(string text, long bytes)
    {
        Assert.True(RespServerOptions.TryParseBytes(text, out var read));
        Assert.Equal(bytes, read);
    }

    [Theory]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("1tb")]
    [InlineData("1.5g")]
    [InlineData("9223372036854775807k")]
    public void Bytes_of_nonsense_are_refused(string text) => Assert.False(RespServerOptions.TryParseBytes(text, out _));

    private static long Used(string info) => long.Parse(info.Split("used_memory:")[1].Split('\r')[0], CultureInfo.InvariantCulture);
}
