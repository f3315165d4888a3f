namespace Millrace.Tests.Server;

/// <summary>The commands on entries, reply by reply as Redis gives them.</summary>
public sealed class StreamCommandsTests
{
    private const string BadId = "-ERR Invalid stream ID specified as stream command argument\r\n";

    [Theory]
    [InlineData("XADD s 0-0 a 1", "-ERR The ID specified in XADD must be greater than 0-0\r\n")]
    [InlineData("XADD s 1-1 a", "-ERR wrong number of arguments for 'xadd' command\r\n")]
    [InlineData("XADD s bad a b", BadId)]
    [InlineData("XADD s 5--1 a b", BadId)]
    [InlineData("XADD s -5 a b", BadId)]
    [InlineData("XADD s 8- a b", BadId)]
    [InlineData("XADD s MAXLEN -1 * a b", "-ERR The MAXLEN argument must be >= 0.\r\n")]
    [InlineData("XADD s MAXLEN ~ 2 LIMIT -1 * a b", "-ERR The LIMIT argument must be >= 0.\r\n")]
    [InlineData("XADD s MAXLEN 2 LIMIT 1 * a b", "-ERR syntax error, LIMIT cannot be used without the special ~ option\r\n")]
    [InlineData("XADD s LIMIT 1 * a b", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n")]
    [InlineData(
        "XADD s MAXLEN 2 MINID 1 * a b", "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible\r\n")]
    [InlineData("XTRIM s LIMIT 1", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n")]
    [InlineData("XTRIM s LIMIT 0 LIMIT 0", "-ERR syntax error, XTRIM must be called with a trimming strategy\r\n")]
    [InlineData("XRANGE s (18446744073709551615-18446744073709551615 +", "-ERR invalid start ID for the interval\r\n")]
    [InlineData("XRANGE s - (0-0", "-ERR invalid end ID for the interval\r\n")]
    [InlineData("XRANGE s (- +", BadId)]
    [InlineData("XRANGE s - + COUNT 0", "*0\r\n")]
    [InlineData("XSETID s 1-1", "-ERR no such key\r\n")]
    [InlineData("XINFO STREAM s", "-ERR no such key\r\n")]
    [InlineData("XADD s NOMKSTREAM * a b", "$-1\r\n")]
    [InlineData("XLEN s", ":0\r\n")]
    [InlineData("XDEL s bad", ":0\r\n")]
    public async Task Command_on_a_missing_key_answers_as_Redis_does(string command, string reply)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();

        Assert.Equal(reply, client.Exchange(command));
        Assert.Equal("*0\r\n", client.Exchange("XRANGE s - +"));
    }

    /// <summary>As redis-server 7.0.15 reads them, with the C library's help.</summary>
    [Theory]
    [InlineData("+5", "5-0")]
    [InlineData("\t5-+1", "5-1")]
    [InlineData("007-00", "7-0")]
    [InlineData("5--01", "5-18446744073709551615")]
    [InlineData("5-1\0-", "5-1")]
    public async Task Id_spelled_oddly_is_read_as_Redis_reads_it(string spelling, string id)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();

        Assert.Equal($"${id.Length}\r\n{id}\r\n", client.Exchange($"XADD s {spelling} a b"));
    }

    [Fact]
    public async Task Ids_follow_the_last_one_and_never_go_back()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();

        Assert.Equal("$3\r\n0-1\r\n", client.Exchange("XADD s 0-* a 1"));
        Assert.Equal("$3\r\n7-0\r\n", client.Exchange("XADD s 007-00 a 2"));
        Assert.Equal("$3\r\n7-1\r\n", client.Exchange("XADD s 7-* a 3"));
        Assert.StartsWith("-ERR The ID specified in XADD is equal or smaller", client.Exchange("XADD s 6-* a 4"), StringComparison.Ordinal);
        Assert.Equal(":1\r\n", client.Exchange("XDEL s 7-1"));
        Assert.StartsWith("-ERR The ID specified in XADD is equal or smaller", client.Exchange("XADD s 7-1 a 4"), StringComparison.Ordinal);
        client.Exchange("XSETID s 18446744073709551615-18446744073709551615");
        Assert.StartsWith("-ERR The stream has exhausted the last possible ID", client.Exchange("XADD s * a 4"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Range_is_bounded_counted_and_reversed()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        for (var i = 1; i <= 4; i++)
            client.Exchange($"XADD s {i}-0 n {i}");

        Assert.Equal(Entries(2, 3), client.Exchange("XRANGE s (1-0 (4-0"));
        Assert.Equal(Entries(4, 3), client.Exchange("XREVRANGE s + - COUNT 2"));
        Assert.Equal(Entries(3), client.Exchange("XRANGE s 3 3"));
        Assert.Equal("*-1\r\n", client.Exchange("XRANGE s - + COUNT 0"));
        Assert.Equal("*0\r\n", client.Exchange("XRANGE s + -"));
    }

    [Fact]
    public async Task Approximate_trim_drops_whole_blocks_within_its_limit()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        for (var i = 1; i <= 350; i++)
            client.Exchange($"XADD s {i}-0 n {i}");

        Assert.Equal(":0\r\n", client.Exchange("XTRIM s MAXLEN ~ 10 LIMIT 99"));
        Assert.Equal(":100\r\n", client.Exchange("XTRIM s MAXLEN ~ 10 LIMIT 100"));
        Assert.Equal(":200\r\n", client.Exchange("XTRIM s MAXLEN ~ 10"));
        Assert.Equal(":40\r\n", client.Exchange("XTRIM s MAXLEN 10"));
        Assert.Equal(":9\r\n", client.Exchange("XTRIM s MINID = 350"));
        client.Exchange("XADD s MAXLEN 0 351-0 a b");
        Assert.Equal(":0\r\n", client.Exchange("XLEN s"));
        Assert.Contains("$3\r\n0-0\r\n$13\r\nentries-added\r\n:351\r\n", client.Exchange("XINFO STREAM s"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("XDELEX s IDS 2 1-1 9-9", "*2\r\n:1\r\n:-1\r\n")]
    [InlineData("XDELEX s acked ids 1 1-1", "*1\r\n:1\r\n")]
    [InlineData("XDELEX none DELREF IDS 1 1-1", "*1\r\n:-1\r\n")]
    [InlineData("XDELEX s IDS 0 1-1", "-ERR Number of IDs must be a positive integer\r\n")]
    [InlineData("XDELEX s IDS x 1-1", "-ERR Number of IDs must be a positive integer\r\n")]
    [InlineData("XDELEX s IDS 3 1-1", "-ERR The `numids` parameter must match the number of arguments\r\n")]
    [InlineData("XDELEX s IDS 1 1-1 2-2", "-ERR syntax error\r\n")]
    [InlineData("XDELEX s KEEPREF DELREF IDS 1 1-1", "-ERR syntax error\r\n")]
    [InlineData("XDELEX s IDS 1 bad", BadId)]
    public async Task Delete_tells_what_became_of_each_entry(string command, string reply)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("XADD s 1-1 a b");

        Assert.Equal(reply, client.Exchange(command));
    }

    [Fact]
    public async Task Info_of_a_stream_has_the_sixteen_fields_in_order()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("XADD s 5-1 a b");

        var reply = client.Exchange("XINFO STREAM s");

        string[] fields =
        [
            "length", "radix-tree-keys", "radix-tree-nodes", "last-generated-id", "max-deleted-entry-id", "entries-added",
            "recorded-first-entry-id", "idmp-duration", "idmp-maxsize", "pids-tracked", "iids-tracked", "iids-added", "iids-duplicates",
            "groups", "first-entry", "last-entry",
        ];
        var places = fields.Select(field => reply.IndexOf($"\r\n{field}\r\n", StringComparison.Ordinal)).ToArray();
        Assert.StartsWith("*32\r\n", reply, StringComparison.Ordinal);
        Assert.DoesNotContain(-1, places);
        Assert.Equal(places.Order(), places);
    }

    private static string Entries(params int[] numbers) => $"*{numbers.Length}\r\n" + string.Concat(
        numbers.Select(number => $"*2\r\n$3\r\n{number}-0\r\n*2\r\n$1\r\nn\r\n$1\r\n{number}\r\n"));

    [Fact]
    public async Task Entry_of_a_hundred_thousand_fields_comes_back_whole()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        string[] fields = [.. Enumerable.Range(0, 100_000).SelectMany(static i => (string[])[$"f{i}", $"v{i}"])];

        client.Ask(["XADD", "s", "1-1", .. fields]);
        client.Ask(["XADD", "s", "1-2", .. fields]);

        var entry = client.Ask("XREVRANGE", "s", "+", "-", "COUNT", "1").Children![0].Children!;
        Assert.Equal("1-2", entry[0].Text);
        Assert.Equal(fields, entry[1].Children!.Select(static part => part.Text));
    }

    /// <summary>An argument may have 64 MiB, and so may a record of the journal with everything that belongs to it.</summary>
    [Fact]
    public async Task Entry_that_is_larger_than_a_record_of_the_journal_is_refused()
    {
        var directory = Directory.CreateTempSubdirectory("millrace-large-").FullName;
        try
        {
            await using var server = await TestServer.StartAsync(directory: directory);
            using var client = server.Connect();

            var reply = client.Ask("XADD", "s", "*", "f", new string('x', 64 * 1024 * 1024));

            Assert.StartsWith("ERR One call may change at most 67108864 bytes", reply.Text, StringComparison.Ordinal);
            Assert.Equal("0", client.Ask("EXISTS", "s").Text);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
