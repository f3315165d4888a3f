namespace Millrace.Tests.Server.Streams;

/// <summary>MAXCOUNT and MAXSIZE of XREAD and XREADGROUP.</summary>
public sealed class ReadLimitTests
{
    private const string Group = "XREADGROUP GROUP g c ";

    [Theory]
    [InlineData("MAXCOUNT 0", "-ERR MAXCOUNT must be a positive integer\r\n")]
    [InlineData("MAXCOUNT x", "-ERR MAXCOUNT must be a positive integer\r\n")]
    [InlineData("MAXSIZE -1", "-ERR MAXSIZE must be a positive integer\r\n")]
    [InlineData("MAXSIZE x", "-ERR MAXSIZE must be a positive integer\r\n")]
    [InlineData("MAXCOUNT 1 COUNT 2", "-ERR MAXCOUNT must be greater than or equal to COUNT\r\n")]
    [InlineData("COUNT x MAXCOUNT 0", "-ERR value is not an integer or out of range\r\n")]
    public async Task Wrong_limit_is_refused(string options, string error)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("XGROUP CREATE a g 0 MKSTREAM");

        Assert.Equal(error, client.Exchange($"XREAD {options} STREAMS a 0"));
        Assert.Equal(error, client.Exchange($"{Group}{options} STREAMS a >"));
    }

    [Theory]
    [InlineData("MAXCOUNT 1", "a 1")]
    [InlineData("MAXCOUNT 4", "a 3 b 1")]
    [InlineData("maxcount 3 COUNT 2", "a 2 b 1")]
    [InlineData("MAXCOUNT 3 COUNT 0", "a 3")]
    [InlineData("MAXCOUNT 100 COUNT 2", "a 2 b 2")]
    [InlineData("MAXCOUNT 4 MAXSIZE 1", "a 1")]
    public async Task Count_is_bounded_over_all_streams_in_their_order(string options, string expected)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Fill(client);

        Assert.Equal(expected, Counts(client.Ask([.. $"XREAD {options} STREAMS a none b 0 0 0".Split(' ')])));
        Assert.Equal(expected, Counts(client.Ask([.. $"{Group}{options} STREAMS a b > >".Split(' ')])));

        // What was skipped is not pending, and comes next.
        var pending = expected.Split(' ').Where((_, i) => i % 2 == 1).Sum(int.Parse);
        Assert.Equal(pending, Pending(client, "a") + Pending(client, "b"));
        client.Exchange($"{Group}STREAMS a b > >");
        Assert.Equal(6, Pending(client, "a") + Pending(client, "b"));
    }

    /// <summary>In front of a stream's entries come 15 bytes, and each entry takes 31.</summary>
    [Theory]
    [InlineData(1, "a 1")]
    [InlineData(46, "a 1")]
    [InlineData(47, "a 2")]
    [InlineData(77, "a 2")]
    [InlineData(78, "a 3")]
    [InlineData(108, "a 3")]
    [InlineData(109, "a 3 b 1")]
    [InlineData(154, "a 3 b 1")]
    [InlineData(155, "a 3 b 2")]
    public async Task Entries_are_added_while_the_reply_is_smaller_than_its_bound(int bytes, string expected)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Fill(client);

        Assert.Equal("*2\r\n".Length + (2 * 15) + (6 * 31), client.Exchange("XREAD STREAMS a b 0 0").Length);
        Assert.Equal(expected, Counts(client.Ask([.. $"XREAD MAXSIZE {bytes} STREAMS a b 0 0".Split(' ')])));
        Assert.Equal(expected, Counts(client.Ask([.. $"{Group}MAXSIZE {bytes} STREAMS a b > >".Split(' ')])));
        Assert.Equal(expected, Counts(client.Ask([.. $"{Group}MAXSIZE {bytes} STREAMS a b 0 0".Split(' ')])));
    }

    [Fact]
    public async Task History_is_bounded_too_and_counts_what_was_deleted()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Fill(client);
        client.Exchange($"{Group}STREAMS a b > >");
        client.Exchange("XDEL a 1-0");

        Assert.Equal(
            "*1\r\n*2\r\n$1\r\na\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*-1\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
            client.Exchange($"{Group}MAXCOUNT 2 STREAMS a b 0 0"));
        Assert.Equal("a 0", Counts(client.Ask([.. $"XREADGROUP GROUP g other MAXCOUNT 2 STREAMS a 0".Split(' ')])));
        Assert.Contains("other", client.Exchange("XINFO CONSUMERS a g"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Blocked_read_keeps_its_limits()
    {
        await using var server = await TestServer.StartAsync();
        using var reader = server.Connect();
        using var writer = server.Connect();
        reader.Send(new Differential.Command("XREAD MAXCOUNT 1 BLOCK 0 STREAMS a b $ $".Split(' ')));
        while (server.WaitingCount == 0)
            await Task.Yield();

        writer.Send(
            new Differential.Command(["MULTI"]),
            new Differential.Command("XADD b 1-0 f v".Split(' ')),
            new Differential.Command("XADD a 1-0 f v".Split(' ')),
            new Differential.Command(["EXEC"]));

        Assert.Equal("a 1", Counts(Differential.RespNode.Parse(reader.Read())));
    }

    private static void Fill(Differential.RawConnection client)
    {
        foreach (var key in (string[])["a", "b"])
        {
            for (var i = 1; i <= 3; i++)
                client.Exchange($"XADD {key} {i}-0 f v");
            client.Exchange($"XGROUP CREATE {key} g 0");
        }
    }

    private static int Pending(Differential.RawConnection client, string key) =>
        int.Parse(client.Ask("XPENDING", key, "g").Children![0].Text, System.Globalization.CultureInfo.InvariantCulture);

    private static string Counts(Differential.RespNode reply) =>
        string.Join(' ', reply.Children!.Select(stream => $"{stream.Children![0].Text} {stream.Children[1].Children!.Count}"));
}
