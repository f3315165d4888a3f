using System.Text;
using Millrace.Embedded;
using Millrace.Server;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Keys;

/// <summary>The commands on lists and sets, over a socket. Each line was compared with redis-server 7.0.15 by hand.</summary>
public sealed class ListAndSetCommandsTests : ServerTest
{
    private const string WrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value";

    [Fact]
    public void List_grows_and_shrinks_at_both_ends_and_is_gone_when_empty()
    {
        Expect(":3", "LPUSH", "l", "a", "b", "c");
        Expect(":10", "RPUSH", "l", "1", "2", "3", "4", "5", "6", "7");
        Expect("*3 $1 c $1 b $1 a", "LRANGE", "l", "0", "2");
        Expect("*2 $1 6 $1 7", "LRANGE", "l", "-2", "100");
        Expect("*0", "LRANGE", "l", "5", "1");
        Expect("-ERR value is out of range, must be positive", "LPOP", "l", "-1");
        Expect("*0", "LPOP", "l", "0");
        Expect("$1 c", "LPOP", "l");
        Expect("*2 $1 7 $1 6", "RPOP", "l", "2");
        Expect(":7", "LLEN", "l");
        Expect("*7 $1 b $1 a $1 1 $1 2 $1 3 $1 4 $1 5", "LPOP", "l", "100");
        Expect("+none", "TYPE", "l");
        Expect("$-1", "LPOP", "l");
        Expect("*-1", "LPOP", "l", "1");
    }

    [Fact]
    public void Blocked_pop_is_served_by_the_next_push()
    {
        using var other = Server.Connect();
        Expect("-ERR timeout is not a float or out of range", "BLPOP", "l", "x");
        Expect("-ERR timeout is negative", "BLPOP", "l", "-1");
        Expect("*-1", "BLPOP", "l", "0.01");

        // Both are of one turn, so that its wait has begun when the first is answered.
        Client.Send(new Command("ECHO", "x"), new Command("BLPOP", "none", "l", "0"));
        Assert.Equal("$1 x", Read(Client));
        other.Send(new Command("RPUSH", "l", "a", "b"));
        Assert.Equal("*2 $1 l $1 a", Read(Client));
        Expect("*2 $1 l $1 b", "BRPOP", "l", "0");
        Expect(":0", "EXISTS", "l");
    }

    [Fact]
    public void Set_keeps_each_member_once_and_is_gone_when_empty()
    {
        Expect(":2", "SADD", "s", "1", "2", "1");
        Expect("$6 intset", "OBJECT", "ENCODING", "s");
        Expect(":1", "SADD", "s", "x", "2");
        Expect("$9 hashtable", "OBJECT", "ENCODING", "s");
        Expect("*3 $1 1 $1 2 $1 x", "SMEMBERS", "s");
        Expect(":1", "SISMEMBER", "s", "x");
        Expect(":0", "SISMEMBER", "s", "y");
        Expect(":3", "SCARD", "s");
        Expect(":1", "COPY", "s", "t");
        Expect(":3", "SREM", "s", "1", "2", "x", "y");
        Expect("+none", "TYPE", "s");
        Expect(":3", "SCARD", "t");
        Expect(WrongType, "LPUSH", "t", "a");
        Expect(WrongType, "BLPOP", "t", "0");
        Expect(WrongType, "GET", "t");
    }

    private void Expect(string reply, params string[] command)
    {
        Client.Send(new Command(command));
        Assert.Equal(reply, Read(Client));
    }

    private static string Read(RawConnection client) =>
        Encoding.Latin1.GetString(client.Read()).TrimEnd().Replace("\r\n", " ", StringComparison.Ordinal);
}
