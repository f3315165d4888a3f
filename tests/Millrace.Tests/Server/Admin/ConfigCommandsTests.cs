using System.Text;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Admin;

/// <summary>CONFIG: the errors are redis-server's own, word for word.</summary>
public sealed class ConfigCommandsTests
{
    [Fact]
    public async Task Get_finds_settings_by_name_and_pattern()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();

        Assert.Equal("*4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$4\r\nSAVE\r\n$0\r\n\r\n", client.Exchange("CONFIG GET appendo* SAVE"));
        Assert.Equal("*4\r\n$9\r\ndatabases\r\n$2\r\n16\r\n$4\r\nsave\r\n$0\r\n\r\n", client.Exchange("CONFIG GET d[a]tab?ses save sav? SAVE*"));
        Assert.Equal("*0\r\n", client.Exchange("CONFIG GET nope"));
        Assert.Equal("-ERR wrong number of arguments for 'config|get' command\r\n", client.Exchange("CONFIG GET"));
        client.Exchange("HELLO 3");
        Assert.Equal("%1\r\n$4\r\nsave\r\n$0\r\n\r\n", client.Exchange("CONFIG GET save"));
    }

    [Theory]
    [InlineData("maxclients 20", "20")]
    [InlineData("maxmemory 2gb", "2147483648")]
    [InlineData("proto-max-bulk-len 2M", "2000000")]
    [InlineData("stream-idmp-duration 5", "5")]
    [InlineData("stream-idmp-maxsize 6", "6")]
    [InlineData("stream-node-max-bytes 0", "0")]
    [InlineData("STREAM-NODE-MAX-BYTES 4k", "4000")]
    [InlineData("stream-node-max-entries 7", "7")]
    [InlineData("timeout 60", "60")]
    public async Task Set_changes_what_get_shows(string pair, string value)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();

        Assert.Equal("+OK\r\n", client.Exchange($"CONFIG SET {pair}"));
        Assert.EndsWith($"\r\n{value}\r\n", client.Exchange($"CONFIG GET {pair.Split(' ')[0]}"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a b", "Unknown option or number of arguments for CONFIG SET - 'a'")]
    [InlineData("timeout 5 a b", "Unknown option or number of arguments for CONFIG SET - 'a'")]
    [InlineData("timeout 5 maxclients", "syntax error")]
    [InlineData("timeout 5 databases 4", "CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config")]
    [InlineData("timeout 5 timeout 6", "CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter")]
    [InlineData("timeout 5 maxclients abc", "CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer")]
    [InlineData("timeout 5 maxmemory -1", "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value")]
    [InlineData("timeout -1", "CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive")]
    [InlineData(
        "timeout 5 STREAM-NODE-MAX-ENTRIES -1",
        "CONFIG SET failed (possibly related to argument 'stream-node-max-entries') - argument must be between 0 and 9223372036854775807 inclusive")]
    public async Task Set_changes_nothing_when_one_pair_is_wrong(string pairs, string error)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();

        Assert.Equal($"-ERR {error}\r\n", client.Exchange($"CONFIG SET {pairs}"));
        Assert.Equal("*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n", client.Exchange("CONFIG GET timeout"));
    }

    [Fact]
    public async Task Bulk_limit_is_in_force_at_once()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET proto-max-bulk-len 1mb"));

        client.Send(Encoding.Latin1.GetBytes("*2\r\n$4\r\nECHO\r\n$1048577\r\n"));

        Assert.Equal("-ERR Protocol error: invalid bulk length\r\n", client.ReadText());
    }

    [Fact]
    public async Task Node_entries_are_in_force_at_once()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();

        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET stream-node-max-entries 2 stream-node-max-bytes 0"));
        for (var i = 1; i <= 5; i++)
            client.Exchange($"XADD s {i}-0 f v");

        Assert.Equal(":2\r\n", client.Exchange("XTRIM s MAXLEN ~ 2"));
    }
}
