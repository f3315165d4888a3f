using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Streams;

/// <summary>XDELEX, XACKDEL and the policies of XADD and XTRIM: what becomes of groups that refer to deleted entries.</summary>
public sealed class ReferenceCommandTests : ServerTest
{
    private const string Syntax = "-ERR syntax error\r\n";

    [Theory]
    [InlineData("XACKDEL s g IDS 1 1-0", "*1\r\n:1\r\n")]
    [InlineData("xackdel s g ids 3 1-0 2-0 9-0 keepref", "*3\r\n:1\r\n:1\r\n:-1\r\n")]
    [InlineData("XACKDEL s g ACKED IDS 2 1-0 2-0", "*2\r\n:1\r\n:2\r\n")]
    [InlineData("XACKDEL s g DELREF IDS 2 1-0 1-0", "*2\r\n:1\r\n:-1\r\n")]
    [InlineData("XACKDEL s none IDS 2 bad 1-0", "*2\r\n:-1\r\n:-1\r\n")]
    [InlineData("XACKDEL none g IDS 1 bad", "*1\r\n:-1\r\n")]
    [InlineData("XACKDEL s g IDS 1 bad", "-ERR Invalid stream ID specified as stream command argument\r\n")]
    [InlineData("XACKDEL none g IDS 0 1-0", "-ERR Number of IDs must be a positive integer\r\n")]
    [InlineData("XACKDEL s g IDS 2 1-0", "-ERR The `numids` parameter must match the number of arguments\r\n")]
    [InlineData("XACKDEL s g IDS 1 1-0 2-0", Syntax)]
    [InlineData("XACKDEL s g ACKED DELREF IDS 1 1-0", Syntax)]
    [InlineData("XACKDEL s g KEEPREF 1 1-0", Syntax)]
    [InlineData("XACKDEL s g ACKED IDS", "-ERR wrong number of arguments for 'xackdel' command\r\n")]
    [InlineData("XACKDEL text g KEEPREF 1 1-0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")]
    public void Acknowledging_and_deleting_tells_what_became_of_each_entry(string command, string reply)
    {
        Fill(3);
        Do("SET text 1", "XGROUP CREATE s g 0", "XGROUP CREATE s h 0", "XREADGROUP GROUP g c COUNT 2 STREAMS s >");
        Do("XREADGROUP GROUP h c COUNT 2 STREAMS s >", "XACK s h 1-0");

        Assert.Equal(reply, Client.Exchange(command));
    }

    [Fact]
    public void Only_a_policy_that_deletes_references_takes_other_groups_pending_entries()
    {
        Fill(3);
        Do("XGROUP CREATE s g 0", "XGROUP CREATE s h 0", "XREADGROUP GROUP g c STREAMS s >", "XREADGROUP GROUP h c STREAMS s >");

        Do("XACKDEL s g IDS 1 1-0");
        AssertPending("h", "1-0", "2-0", "3-0");
        Do("XACKDEL s g DELREF IDS 1 2-0");
        AssertPending("h", "1-0", "3-0");
        Do("XDELEX s DELREF IDS 2 1-0 3-0");
        AssertPending("h");
        AssertPending("g");
        Assert.Contains("max-deleted-entry-id\r\n$3\r\n3-0\r\n", Client.Exchange("XINFO STREAM s"), StringComparison.Ordinal);
    }

    /// <summary>Each as Redis orders its checks: the type of the key before the options, the IDs only when there is a stream.</summary>
    [Theory]
    [InlineData("XDELEX text ACKED 1 1-0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")]
    [InlineData("XDELEX none IDS 1 bad", "*1\r\n:-1\r\n")]
    [InlineData("XDELEX s IDS 1 1-0 IDS 1 2-0", "*1\r\n:1\r\n")]
    [InlineData("XDELEX s ACKED KEEPREF 1", Syntax)]
    [InlineData("XDELEX s ACKED ACKED 1", Syntax)]
    [InlineData("XDELEX s ACKED IDS 3 1-0 2-0 9-0", "*3\r\n:1\r\n:2\r\n:2\r\n")]
    public void Deleting_checks_in_the_order_of_redis(string command, string reply)
    {
        Fill(2);
        Do("SET text 1", "XGROUP CREATE s g 1-0");

        Assert.Equal(reply, Client.Exchange(command));
    }

    [Theory]
    [InlineData("XTRIM s MAXLEN 0", ":5\r\n", new string[0], new[] { "1-0", "3-0", "4-0" })]
    [InlineData("XTRIM s KEEPREF MAXLEN 1", ":4\r\n", new[] { "5-0" }, new[] { "1-0", "3-0", "4-0" })]
    [InlineData("XTRIM s MINID 4 DELREF", ":3\r\n", new[] { "4-0", "5-0" }, new[] { "4-0" })]
    [InlineData("XTRIM s delref MAXLEN = 0", ":5\r\n", new string[0], new string[0])]
    [InlineData("XTRIM s MAXLEN 0 ACKED", ":1\r\n", new[] { "1-0", "3-0", "4-0", "5-0" }, new[] { "1-0", "3-0", "4-0" })]
    [InlineData("XTRIM s ACKED MINID 2", ":0\r\n", new[] { "1-0", "2-0", "3-0", "4-0", "5-0" }, new[] { "1-0", "3-0", "4-0" })]
    [InlineData("XTRIM s MAXLEN ~ 3 DELREF", ":2\r\n", new[] { "3-0", "4-0", "5-0" }, new[] { "3-0", "4-0" })]
    [InlineData("XTRIM s MAXLEN ~ 3 LIMIT 4 DELREF", ":0\r\n", new[] { "1-0", "2-0", "3-0", "4-0", "5-0" }, new[] { "1-0", "3-0", "4-0" })]
    [InlineData("XTRIM s MAXLEN ~ 3", ":0\r\n", new[] { "1-0", "2-0", "3-0", "4-0", "5-0" }, new[] { "1-0", "3-0", "4-0" })]
    public void Trim_regards_references(string command, string reply, string[] left, string[] pending)
    {
        Fill(5);
        Do("XGROUP CREATE s g 0", "XREADGROUP GROUP g c COUNT 4 STREAMS s >", "XACK s g 2-0");

        Assert.Equal(reply, Client.Exchange(command));
        AssertEntries(left);
        AssertPending("g", pending);
    }

    [Theory]
    [InlineData("XTRIM s ACKED LIMIT 0", "-ERR syntax error, XTRIM must be called with a trimming strategy\r\n")]
    [InlineData("XTRIM s MAXLEN 0 ACKED KEEPREF", Syntax)]
    [InlineData("XTRIM s DELREF DELREF MAXLEN 0", Syntax)]
    [InlineData("XADD s ACKED DELREF 9-0 f v", "-ERR Invalid stream ID specified as stream command argument\r\n")]
    [InlineData("XADD s ACKED LIMIT 5 9-0 f v", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n")]
    [InlineData("XADD s ACKED 9-0 f", "-ERR wrong number of arguments for 'xadd' command\r\n")]
    [InlineData("XADD s acked 9-0 f v", "$3\r\n9-0\r\n")]
    [InlineData("XADD s NOMKSTREAM keepref MAXLEN 1 9-0 f v", "$3\r\n9-0\r\n")]
    public void Policy_is_one_option_among_the_others(string command, string reply)
    {
        Fill(2);

        Assert.Equal(reply, Client.Exchange(command));
    }

    [Fact]
    public void Adding_trims_only_what_every_group_acknowledged()
    {
        Fill(3);
        Do("XGROUP CREATE s g 0", "XGROUP CREATE s h 1-0", "XREADGROUP GROUP g c STREAMS s >", "XACK s g 1-0 2-0");

        Do("XADD s MAXLEN 1 ACKED 4-0 n 4");
        AssertEntries("2-0", "3-0", "4-0");
        Do("XADD s DELREF MAXLEN 1 5-0 n 5");
        AssertEntries("5-0");
        AssertPending("g");
        Do("XGROUP DESTROY s g", "XGROUP DESTROY s h", "XADD s ACKED MINID 9 6-0 n 6");
        AssertEntries();
    }

    private void Fill(int count)
    {
        for (var i = 1; i <= count; i++)
            Do($"XADD s {i}-0 n {i}");
    }

    private void Do(params string[] commands)
    {
        foreach (var command in commands)
            Assert.False(Client.Exchange(command).StartsWith('-'), command);
    }

    private void AssertEntries(params string[] ids) => Assert.Equal(
        $"*{ids.Length}\r\n" + string.Concat(ids.Select(id => $"*2\r\n${id.Length}\r\n{id}\r\n*2\r\n$1\r\nn\r\n$1\r\n{id[..^2]}\r\n")),
        Client.Exchange("XRANGE s - +"));

    private void AssertPending(string group, params string[] ids)
    {
        var reply = Client.Exchange($"XPENDING s {group} - + 100");
        Assert.StartsWith($"*{ids.Length}\r\n", reply, StringComparison.Ordinal);
        Assert.All(ids, id => Assert.Contains($"\r\n{id}\r\n", reply, StringComparison.Ordinal));
    }
}
