using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Admin;

/// <summary>SLOWLOG, LATENCY, and the counters of INFO.</summary>
public sealed class StatisticsTests
{
    [Fact]
    public async Task Slow_log_keeps_the_latest_commands_that_took_long_enough()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal(":0\r\n", client.Exchange("SLOWLOG LEN"));
        client.Exchange("CLIENT SETNAME tester");
        client.Exchange("CONFIG SET slowlog-log-slower-than 0");
        client.Exchange("SLOWLOG RESET");
        client.Exchange($"ECHO {new string('x', 130)}");
        client.Exchange("AUTH secret");
        client.Send(new Command(["DEL", .. Enumerable.Range(0, 40).Select(static i => $"k{i}")]));
        client.ReadText();
        client.Exchange("CONFIG SET slowlog-log-slower-than -1");

        // RESET itself is the oldest.
        Assert.Equal(":4\r\n", client.Exchange("SLOWLOG LEN"));
        var reply = client.Exchange("SLOWLOG GET -1");
        Assert.Contains($"*2\r\n$4\r\nECHO\r\n$146\r\n{new string('x', 128)}... (2 more bytes)\r\n", reply, StringComparison.Ordinal);
        Assert.Contains("\r\n$2\r\nk0\r\n", reply, StringComparison.Ordinal);
        Assert.Contains("\r\n$3\r\nk29\r\n$23\r\n... (10 more arguments)\r\n", reply, StringComparison.Ordinal);
        Assert.Contains("\r\n$6\r\ntester\r\n", reply, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", reply, StringComparison.Ordinal);
        Assert.StartsWith("*1\r\n*6\r\n", client.Exchange("SLOWLOG GET 1"), StringComparison.Ordinal);

        client.Exchange("CONFIG SET slowlog-max-len 2");
        Assert.Equal(":2\r\n", client.Exchange("SLOWLOG LEN"));
        Assert.Equal("+OK\r\n", client.Exchange("SLOWLOG RESET"));
        Assert.Equal("*0\r\n", client.Exchange("SLOWLOG GET"));
        Assert.Equal("-ERR count should be greater than or equal to -1\r\n", client.Exchange("SLOWLOG GET -2"));
        Assert.Equal("-ERR count should be greater than or equal to -1\r\n", client.Exchange("SLOWLOG GET x"));
    }

    [Fact]
    public async Task Slow_log_has_the_commands_of_a_transaction_and_not_exec_and_blots_out_passwords()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("CONFIG SET slowlog-log-slower-than 0");
        client.Exchange("MULTI");
        client.Exchange("ECHO inside");
        client.Exchange("SLOWLOG RESET");
        client.Exchange("ECHO after");
        client.Exchange("EXEC");
        client.Exchange("ACL SETUSER somebody >secret");
        client.Exchange("CONFIG SET requirepass hidden slowlog-log-slower-than -1");
        Assert.Equal(":3\r\n", client.Exchange("SLOWLOG LEN"));
        var reply = client.Exchange("SLOWLOG GET");
        Assert.Contains("\r\n$8\r\nsomebody\r\n$10\r\n(redacted)\r\n", reply, StringComparison.Ordinal);
        Assert.Contains("\r\nafter\r\n", reply, StringComparison.Ordinal);
        foreach (var hidden in (string[])["EXEC", "inside", "secret", "hidden"])
            Assert.DoesNotContain(hidden, reply, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deep_pipeline_is_measured_at_its_first_command_and_at_what_may_take_long()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("CONFIG RESETSTAT");
        var commands = Enumerable.Repeat(new Command("PING"), 100).Append(new Command("KEYS", "*")).ToArray();
        client.Send(commands);
        foreach (var _ in commands)
            client.ReadText();

        // How many turns the pipeline came in is up to the sockets; measured are far fewer than were sent.
        var info = client.Exchange("INFO commandstats");
        Assert.Contains("cmdstat_ping:calls=100,", info, StringComparison.Ordinal);
        Assert.Contains("cmdstat_keys:calls=1,", info, StringComparison.Ordinal);
        Assert.Contains(
            "$4\r\nkeys\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n", client.Exchange("LATENCY HISTOGRAM keys"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Info_counts_calls_refusals_failures_lookups_and_errors()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("CONFIG RESETSTAT");
        client.Exchange("SET k v");
        client.Exchange("GET k");
        client.Exchange("GET nope");
        client.Exchange("GET");
        client.Exchange("XLEN k");
        client.Exchange("NOPE");

        var info = client.Exchange("INFO everything");
        Assert.Matches(@"cmdstat_get:calls=2,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=1,failed_calls=0\r\n", info);
        Assert.Matches(@"cmdstat_xlen:calls=1,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=0,failed_calls=1\r\n", info);
        Assert.Contains("errorstat_ERR:count=2\r\nerrorstat_WRONGTYPE:count=1\r\n", info, StringComparison.Ordinal);
        Assert.Contains("\r\nkeyspace_hits:2\r\nkeyspace_misses:1\r\n", info, StringComparison.Ordinal);
        Assert.Contains("\r\ntotal_error_replies:3\r\n", info, StringComparison.Ordinal);
        Assert.Contains("\r\ntotal_commands_processed:5\r\n", info, StringComparison.Ordinal);
        Assert.Matches(@"latency_percentiles_usec_get:p50=\d+\.000,p99=\d+\.000,p99\.9=\d+\.000\r\n", info);
        Assert.DoesNotContain("cmdstat_", client.Exchange("INFO"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Info_gives_the_sections_that_are_asked_for()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal(
            ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Errorstats", "Cluster", "Keyspace"],
            Sections(""));
        Assert.Equal(["Server", "CPU"], Sections(" cpu SERVER"));
        Assert.Equal(["Commandstats", "Keyspace"], Sections(" keyspace commandstats nonsense"));
        Assert.Equal(13, Sections(" everything").Length);
        Assert.Empty(Sections(" nonsense"));

        string[] Sections(string words) =>
        [
            .. client.Exchange("INFO" + words).Split("\r\n")
                .Where(static line => line.StartsWith("# ", StringComparison.Ordinal)).Select(static line => line[2..]),
        ];
    }

    [Fact]
    public async Task Latency_keeps_what_took_longer_than_the_threshold()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("*0\r\n", client.Exchange("LATENCY LATEST"));
        Assert.Contains("latency-monitor-threshold", client.Exchange("LATENCY DOCTOR"), StringComparison.Ordinal);
        // A minute: on a busy machine any command takes a millisecond now and then.
        client.Exchange("CONFIG SET latency-monitor-threshold 60000");
        Assert.Contains("Nothing took long.", client.Exchange("LATENCY DOCTOR"), StringComparison.Ordinal);
        Assert.Equal("*0\r\n", client.Exchange("LATENCY HISTORY command"));
        Assert.Equal(":0\r\n", client.Exchange("LATENCY RESET command nope"));
    }

    [Fact]
    public void Latency_event_has_the_longest_of_each_second_and_the_latest_samples()
    {
        var latency = new Millrace.Server.Statistics.LatencyEvents { LeastMilliseconds = 10 };
        latency.Add("command", TimeSpan.FromMilliseconds(9), 1_000);
        Assert.Empty(latency.Events);
        latency.Add("command", TimeSpan.FromMilliseconds(30), 1_000);
        latency.Add("command", TimeSpan.FromMilliseconds(20), 1_999);
        for (var second = 2; second <= 200; second++)
            latency.Add("command", TimeSpan.FromMilliseconds(10), second * 1_000);
        var found = latency.Events["command"];
        Assert.Equal((160, 30L), (found.Samples.Count, found.MaxMilliseconds));
        Assert.Equal((200L, 10L), found.Samples[^1]);
        Assert.True(latency.Remove("command"));
        Assert.False(latency.Remove("command"));
    }

    [Fact]
    public void Counter_tells_the_power_of_two_that_a_share_of_the_calls_stayed_below()
    {
        var counter = new Millrace.Server.Statistics.CommandCounter();
        for (var microseconds = 1; microseconds <= 100; microseconds++)
            counter.Measure(TimeSpan.FromMicroseconds(microseconds));
        Assert.Equal([(1, 1), (2, 1), (4, 2), (8, 4), (16, 8), (32, 16), (64, 32), (128, 36)], counter.Histogram);
        Assert.Equal((64, 128, 50.5), (counter.Percentile(0.5), counter.Percentile(0.99), counter.AverageMicroseconds));
    }
}
