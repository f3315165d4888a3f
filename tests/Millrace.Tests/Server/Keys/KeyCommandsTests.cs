using System.Net;
using System.Text;
using Millrace.Embedded;
using Millrace.Server;
using Millrace.Server.Commands.Keys;
using Millrace.Streams;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Keys;

/// <summary>The commands on keys of any type, and on strings, over a socket. Each line was compared with redis-server 7.0.15 by hand.</summary>
public sealed class KeyCommandsTests : ServerTest
{
    [Fact]
    public void Keys_are_counted_found_and_deleted()
    {
        Expect("+OK", "SET", "a", "1");
        Expect("+OK", "SET", "b", "2");
        Expect(":3", "EXISTS", "a", "a", "b", "none");
        Expect("+string", "TYPE", "a");
        Expect("+none", "TYPE", "none");
        Expect(":2", "DBSIZE");
        Expect("*1 $1 b", "KEYS", "[^a]");
        Expect(":1", "DEL", "a", "a", "none");
        Expect("$1 b", "RANDOMKEY");
        Expect(":1", "UNLINK", "b");
        Expect("$-1", "RANDOMKEY");
        Expect("-ERR syntax error", "FLUSHALL", "NOW");
        Expect("+OK", "FLUSHALL", "ASYNC");
    }

    [Fact]
    public void Scan_returns_every_key_that_lives_through_it_once_whatever_comes_and_goes()
    {
        for (var i = 0; i < 100; i++)
            Expect("+OK", "SET", $"stay{i}", "x");
        var seen = new List<string>();
        var cursor = "0";
        var round = 0;
        do
        {
            var reply = Ask("SCAN", cursor, "COUNT", "7", "MATCH", "stay*", "TYPE", "string").Split(' ');
            cursor = reply[2];
            seen.AddRange(reply.Where(part => part.StartsWith("stay", StringComparison.Ordinal)));
            Expect("+OK", "SET", $"come{round}", "x");
            Expect("+OK", "SET", "stay99", $"{round}");
            if (round > 0)
                Expect(":1", "DEL", $"come{round - 1}");
            round++;
        }
        while (cursor != "0");

        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"stay{i}").Order(StringComparer.Ordinal), seen.Order(StringComparer.Ordinal));
        Expect("-ERR invalid cursor", "SCAN", "x");
        Expect("-ERR syntax error", "SCAN", "0", "COUNT", "0");
        Expect("-ERR syntax error", "SCAN", "0", "MATCH");
    }

    [Fact]
    public void Expiry_follows_its_conditions()
    {
        Expect(":-2", "TTL", "k");
        Expect("+OK", "SET", "k", "1");
        Expect(":-1", "TTL", "k");
        Expect(":0", "EXPIRE", "k", "10", "GT");
        Expect(":1", "EXPIRE", "k", "100", "LT");
        Expect(":0", "EXPIRE", "k", "10", "NX");
        Expect(":1", "EXPIRE", "k", "200", "XX", "GT");
        Expect(":200", "TTL", "k");
        Expect("-ERR Unsupported option YY", "EXPIRE", "k", "10", "YY");
        Expect("-ERR NX and XX, GT or LT options at the same time are not compatible", "EXPIRE", "k", "10", "NX", "GT");
        Expect("-ERR GT and LT options at the same time are not compatible", "EXPIRE", "k", "10", "GT", "LT");
        Expect("-ERR invalid expire time in 'expire' command", "EXPIRE", "k", "9223372036854775807");
        Expect(":1", "PEXPIREAT", "k", "99999999999999");
        Expect(":99999999999999", "PEXPIRETIME", "k");
        Expect(":100000000000", "EXPIRETIME", "k");
        Expect(":1", "PEXPIREAT", "k", "9223372036854775807");
        Expect(":9223372036854776", "EXPIRETIME", "k");
        Expect(":1", "PERSIST", "k");
        Expect(":0", "PERSIST", "k");
        Expect(":1", "EXPIRE", "k", "-1");
        Expect(":0", "EXISTS", "k");
    }

    [Fact]
    public async Task Stream_is_copied_with_its_groups_and_lives_apart()
    {
        var cancellationToken = TestContext.Current.CancellationToken;
        await Server.Store.CreateGroupAsync("s", "g", GroupStart.Beginning, cancellationToken);
        await Server.Store.AppendAsync("s", EntryFields.Create(("a", "1")), cancellationToken: cancellationToken);

        Expect(":1", "COPY", "s", "t");
        Expect(":0", "COPY", "s", "t");
        Expect(":1", "COPY", "s", "t", "REPLACE");
        await Server.Store.AppendAsync("t", EntryFields.Create(("a", "2")), cancellationToken: cancellationToken);

        Expect("+stream", "TYPE", "t");
        Assert.Equal(1, (await Server.Store.GetStreamInfoAsync("s", cancellationToken))!.Length);
        Assert.Equal(2, (await Server.Store.GetStreamInfoAsync("t", cancellationToken))!.Length);
        Expect("-ERR source and destination objects are the same", "COPY", "s", "s");
        Expect("-ERR DB index is out of range", "COPY", "s", "t", "DB", "16");
        Expect(":0", "COPY", "none", "t", "DB", "1");
    }

    [Theory]
    [InlineData("421", int.MaxValue)]
    [InlineData("9999", int.MaxValue)]
    [InlineData("10000", 1)]
    [InlineData("-1", 1)]
    [InlineData("0421", 1)]
    public void Small_numbers_are_shared_by_all_keys_as_redis_says(string value, int count)
    {
        Expect("+OK", "SET", "n", value);
        Expect($":{count}", "OBJECT", "REFCOUNT", "n");
    }

    [Fact]
    public void Keys_move_between_names_and_databases()
    {
        Expect("-ERR no such key", "RENAME", "a", "b");
        Expect("+OK", "SET", "a", "1", "EX", "100");
        Expect("+OK", "SET", "b", "2");
        Expect(":0", "RENAMENX", "a", "b");
        Expect("+OK", "RENAME", "a", "a");
        Expect("+OK", "RENAME", "a", "b");
        Expect(":100", "TTL", "b");
        Expect(":1", "MOVE", "b", "3");
        Expect(":0", "EXISTS", "b");
        Expect("-ERR source and destination objects are the same", "MOVE", "b", "0");
        Expect("+OK", "SWAPDB", "0", "3");
        Expect("$1 1", "GET", "b");
        Expect(":100", "TTL", "b");
        Expect("-ERR invalid second DB index", "SWAPDB", "0", "x");
        Expect("-ERR DB index is out of range", "SWAPDB", "0", "16");
    }

    [Fact]
    public async Task Strings_are_set_under_conditions_and_counted()
    {
        Expect("$-1", "SET", "k", "1", "XX");
        Expect("$-1", "SET", "k", "1", "NX", "GET");
        Expect("$1 1", "SET", "k", "2", "NX", "GET");
        Expect("$1 1", "GETDEL", "k");
        Expect(":1", "INCR", "k");
        Expect(":-4", "DECRBY", "k", "5");
        Expect(":4", "APPEND", "k", "xy");
        Expect(":4", "STRLEN", "k");
        Expect("-ERR value is not an integer or out of range", "INCR", "k");
        Expect("+OK", "SET", "k", "9223372036854775807", "PX", "100000");
        Expect("-ERR increment or decrement would overflow", "INCR", "k");
        Expect("+OK", "SET", "k", "1", "KEEPTTL");
        Expect(":100", "TTL", "k");
        Expect("+OK", "SET", "k", "1", "EX", "10", "ex", "100");
        Expect(":100", "TTL", "k");
        Expect("-ERR syntax error", "SET", "k", "1", "EX", "1", "PX", "1");
        Expect("-ERR syntax error", "SET", "k", "1", "NX", "XX");
        Expect("-ERR syntax error", "SET", "k", "1", "EX", "1", "KEEPTTL");
        Expect("-ERR invalid expire time in 'set' command", "SET", "k", "1", "EX", "0");
        Expect(":0", "SETNX", "k", "1");

        await Server.Store.AppendAsync("s", EntryFields.Create(("a", "1")), cancellationToken: TestContext.Current.CancellationToken);
        Expect("-WRONGTYPE Operation against a key holding the wrong kind of value", "GET", "s");
        Expect("-WRONGTYPE Operation against a key holding the wrong kind of value", "SET", "s", "1", "GET");
        Expect("+OK", "SET", "s", "1");
    }

    [Theory]
    [InlineData("*", "", true)]
    [InlineData("a*c*e", "abcde", true)]
    [InlineData("a*c*e", "abcd", false)]
    [InlineData("a?c", "abc", true)]
    [InlineData("a?c", "ac", false)]
    [InlineData("[a-c]x", "bx", true)]
    [InlineData("[c-a]x", "bx", true)]
    [InlineData("[^a-c]x", "bx", false)]
    [InlineData("\\*", "*", true)]
    [InlineData("\\*", "x", false)]
    [InlineData("[\\]]", "]", true)]
    [InlineData("[ab", "b", true)]
    [InlineData("a", "ab", false)]
    public void Pattern_matches_as_in_Redis(string pattern, string text, bool isMatch) =>
        Assert.Equal(isMatch, GlobPattern.IsMatch(Encoding.ASCII.GetBytes(pattern), Encoding.ASCII.GetBytes(text)));

    private void Expect(string reply, params string[] command) => Assert.Equal(reply, Ask(command));

    /// <summary>The reply's lines, joined by blanks.</summary>
    private string Ask(params string[] command)
    {
        Client.Send(new Command(command));
        return Encoding.Latin1.GetString(Client.Read()).TrimEnd().Replace("\r\n", " ", StringComparison.Ordinal);
    }
}
