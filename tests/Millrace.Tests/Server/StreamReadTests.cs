namespace Millrace.Tests.Server;

/// <summary>XREAD, with and without waiting.</summary>
public sealed class StreamReadTests
{
    private const string EntryOfA = "*2\r\n$1\r\na\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";
    private const string EntryOfB = "*2\r\n$1\r\nb\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";

    [Theory]
    [InlineData("XREAD STREAMS a b 0", "-ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.\r\n")]
    [InlineData("XREAD STREAMS a >", "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.\r\n")]
    [InlineData("XREAD STREAMS a x", "-ERR Invalid stream ID specified as stream command argument\r\n")]
    [InlineData("XREAD GROUP g c STREAMS a 0", "-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.\r\n")]
    [InlineData("XREAD NOACK STREAMS a 0", "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.\r\n")]
    [InlineData("XREAD FOO STREAMS a 0", "-ERR syntax error\r\n")]
    [InlineData("XREAD BLOCK -1 STREAMS a 0", "-ERR timeout is negative\r\n")]
    [InlineData("XREAD BLOCK x STREAMS a 0", "-ERR timeout is not an integer or out of range\r\n")]
    [InlineData("XREAD COUNT x STREAMS a 0", "-ERR value is not an integer or out of range\r\n")]
    [InlineData("XREAD STREAMS none 0", "*-1\r\n")]
    [InlineData("XREAD STREAMS a $", "*-1\r\n")]
    [InlineData("XREAD BLOCK 1 STREAMS a none $ +", "*-1\r\n")]
    [InlineData("XREAD COUNT -5 STREAMS a none 0 0", "*1\r\n" + EntryOfA)]
    [InlineData("XREAD STREAMS a b a 0 2 0", "*3\r\n" + EntryOfA + EntryOfB + EntryOfA)]
    [InlineData("XREAD COUNT 5 STREAMS b +", "*1\r\n" + EntryOfB)]
    [InlineData("XREAD STREAMS a 18446744073709551615-18446744073709551615", "*-1\r\n")]
    public async Task Read_answers_as_Redis_does(string command, string reply)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("XADD a 1-1 f v");
        client.Exchange("XADD b 2-0 f v");
        client.Exchange("XADD b 2-1 f v");
        client.Exchange("XDEL b 2-0");

        Assert.Equal(reply, client.Exchange(command));
    }

    [Fact]
    public async Task Blocked_read_is_served_with_what_comes_after_its_start()
    {
        await using var server = await TestServer.StartAsync();
        using var reader = server.Connect();
        using var writer = server.Connect();
        writer.Exchange("XADD a 1-0 f old");

        reader.Send(new Differential.Command(["XREAD", "BLOCK", "0", "STREAMS", "a", "b", "$", "$"]));
        while (server.WaitingCount == 0)
            await Task.Yield();
        writer.Exchange("XADD a 1-1 f v");

        Assert.Equal("*1\r\n" + EntryOfA, reader.ReadText());
    }
}
