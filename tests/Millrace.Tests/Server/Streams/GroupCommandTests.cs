using Millrace.Embedded;
using Millrace.Server;
using Millrace.Streams;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Streams;

/// <summary>Groups over the wire, with every byte of the replies. Values were measured on Redis or are those of its documentation.</summary>
public sealed class GroupCommandTests : ServerTest
{
    [Fact]
    public void Group_is_made_moved_and_deleted()
    {
        Assert.StartsWith("-ERR The XGROUP subcommand requires the key to exist.", Do("XGROUP CREATE s g $"), StringComparison.Ordinal);
        Assert.Equal("+OK\r\n", Do("XGROUP CREATE s g $ mkstream ENTRIESREAD 5"));
        Assert.Equal("-BUSYGROUP Consumer Group name already exists\r\n", Do("XGROUP CREATE s g 0"));
        Assert.Equal("-ERR Invalid stream ID specified as stream command argument\r\n", Do("XGROUP CREATE s h -"));
        Assert.Equal("-ERR value for ENTRIESREAD must be positive or -1\r\n", Do("XGROUP CREATE s h 0 ENTRIESREAD -2"));
        Assert.Equal(
            "-ERR unknown subcommand or wrong number of arguments for 'create'. Try XGROUP HELP.\r\n", Do("XGROUP create s h 0 FOO"));
        Assert.Equal("-ERR wrong number of arguments for 'xgroup|create' command\r\n", Do("XGROUP CREATE s h"));
        Assert.Equal("-NOGROUP No such consumer group 'h' for key name 's'\r\n", Do("XGROUP SETID s h 0"));
        Assert.Equal("+OK\r\n", Do("XGROUP SETID s g +"));
        Assert.Equal(":1\r\n", Do("XGROUP CREATECONSUMER s g c"));
        Assert.Equal(":0\r\n", Do("XGROUP CREATECONSUMER s g c"));
        Assert.Equal(":0\r\n", Do("XGROUP DELCONSUMER s g c"));
        Assert.Equal(":1\r\n", Do("XGROUP DESTROY s g"));
        Assert.Equal(":0\r\n", Do("XGROUP DESTROY s g"));
    }

    [Fact]
    public async Task Entries_are_read_shown_again_and_acknowledged()
    {
        await AddAsync();
        Assert.Equal(
            "-NOGROUP No such key 's' or consumer group 'h' in XREADGROUP with GROUP option\r\n", Do("XREADGROUP GROUP h c STREAMS s >"));
        Assert.Equal(
            "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n", Do("XREADGROUP GROUP g c COUNT 1 STREAMS s >"));
        Assert.Equal(
            "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n", Do("XREADGROUP GROUP g c NOACK STREAMS s >"));
        Assert.Equal("*-1\r\n", Do("XREADGROUP GROUP g d STREAMS s >"));
        Assert.Equal("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n", Do("XREADGROUP GROUP g c STREAMS s 0"));
        Assert.Equal("*4\r\n:1\r\n$3\r\n1-1\r\n$3\r\n1-1\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n", Do("XPENDING s g"));
        Assert.Equal(":0\r\n", Do("XACK s h nonsense"));
        Assert.StartsWith("-ERR Invalid stream ID", Do("XACK s g 1-1 nonsense"), StringComparison.Ordinal);
        Assert.Equal(":1\r\n", Do("XACK s g 1-1 2-1"));
        Assert.Equal("*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", Do("XPENDING s g"));
        Assert.Equal(":0\r\n", Do("XGROUP DELCONSUMER s g d"));
    }

    [Fact]
    public async Task Entry_deleted_meanwhile_is_null_in_the_history_and_dropped_by_a_claim()
    {
        await AddAndReadAsync();
        await Server.Store.DeleteAsync("s", [new(1, 1)], TestContext.Current.CancellationToken);
        Assert.Equal("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n", Do("XREADGROUP GROUP g c COUNT 1 STREAMS s 0"));
        Assert.Equal("*0\r\n", Do("XCLAIM s g d 0 1-1"));
        Assert.Equal("*0\r\n", Do("XPENDING s g - 1 10"));
        Assert.Equal("*1\r\n$3\r\n2-1\r\n", Do("XCLAIM s g d 0 2-1 9-9 RETRYCOUNT 7 IDLE 100000000 JUSTID"));
        var shown = Do("XPENDING s g IDLE 100000000 - + 10 d");
        Assert.StartsWith("*1\r\n*4\r\n$3\r\n2-1\r\n$1\r\nd\r\n:1000000", shown, StringComparison.Ordinal);
        Assert.EndsWith(":7\r\n", shown, StringComparison.Ordinal);
        Assert.Equal("-ERR Unrecognized XCLAIM option 'FOO'\r\n", Do("XCLAIM s g d 0 2-1 FOO"));
        Assert.Equal("-ERR Invalid min-idle-time argument for XCLAIM\r\n", Do("XCLAIM s g d x 2-1"));
        Assert.Equal("-NOGROUP No such key 's' or consumer group 'h'\r\n", Do("XCLAIM s h d 0 2-1"));
    }

    [Fact]
    public async Task Claim_by_force_counts_as_second_delivery()
    {
        await AddAsync();
        Assert.Equal("*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n", Do("XCLAIM s g c 0 1-1 3-3 FORCE"));
        Assert.EndsWith(":2\r\n", Do("XPENDING s g - + 10"), StringComparison.Ordinal);
        Assert.Equal("*1\r\n$3\r\n2-1\r\n", Do("XCLAIM s g c 0 2-1 FORCE JUSTID"));
        Assert.EndsWith(":1\r\n", Do("XPENDING s g 2 + 10"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Autoclaim_goes_on_where_it_stopped_and_names_deleted_entries()
    {
        await AddAndReadAsync();
        Assert.Equal("*3\r\n$3\r\n2-1\r\n*1\r\n$3\r\n1-1\r\n*0\r\n", Do("XAUTOCLAIM s g d 0 - COUNT 1 JUSTID"));
        await Server.Store.DeleteAsync("s", [new(1, 1)], TestContext.Current.CancellationToken);
        Assert.Equal(
            "*3\r\n$3\r\n0-0\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n*1\r\n$3\r\n1-1\r\n", Do("XAUTOCLAIM s g d 0 0"));
        Assert.Equal("*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n", Do("XAUTOCLAIM s g d 1000000 +"));
        Assert.Equal("-ERR COUNT must be > 0\r\n", Do("XAUTOCLAIM s g d 0 0 COUNT 0"));
        Assert.Equal("-ERR syntax error\r\n", Do("XAUTOCLAIM s g d 0 0 FOO"));
    }

    [Fact]
    public async Task Groups_and_consumers_are_told_in_order_of_their_names()
    {
        await AddAsync();
        Do("XGROUP CREATE s G $");
        Do("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
        Do("XGROUP CREATECONSUMER s g C");
        Assert.Equal(
            "*2\r\n" +
            "*12\r\n$4\r\nname\r\n$1\r\nG\r\n$9\r\nconsumers\r\n:0\r\n$7\r\npending\r\n:0\r\n" +
            "$17\r\nlast-delivered-id\r\n$3\r\n2-1\r\n$12\r\nentries-read\r\n$-1\r\n$3\r\nlag\r\n:0\r\n" +
            "*12\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:2\r\n$7\r\npending\r\n:1\r\n" +
            "$17\r\nlast-delivered-id\r\n$3\r\n1-1\r\n$12\r\nentries-read\r\n:1\r\n$3\r\nlag\r\n:1\r\n",
            Do("XINFO GROUPS s"));
        Assert.Matches(
            "^\\*2\r\n\\*8\r\n\\$4\r\nname\r\n\\$1\r\nC\r\n\\$7\r\npending\r\n:0\r\n\\$4\r\nidle\r\n:\\d+\r\n\\$8\r\ninactive\r\n:-1\r\n",
            Do("XINFO CONSUMERS s g"));
        Assert.Equal("-NOGROUP No such consumer group 'h' for key name 's'\r\n", Do("XINFO CONSUMERS s h"));
        Assert.Equal("-ERR no such key\r\n", Do("XINFO GROUPS none"));
    }

    [Fact]
    public async Task Refused_reads_say_why()
    {
        await AddAsync();
        Do("SET text x");
        Assert.Equal("-ERR timeout is negative\r\n", Do("XREADGROUP GROUP g c BLOCK -1 STREAMS s >"));
        Assert.Equal("-ERR Missing GROUP option for XREADGROUP\r\n", Do("XREADGROUP NOACK COUNT 1 STREAMS s s > >"));
        Assert.StartsWith("-ERR Unbalanced 'xreadgroup' list of streams", Do("XREADGROUP GROUP g c STREAMS s s >"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR The $ ID is meaningless", Do("XREADGROUP GROUP g c STREAMS s $"), StringComparison.Ordinal);
        Assert.StartsWith("-WRONGTYPE ", Do("XREADGROUP GROUP g c STREAMS text >"), StringComparison.Ordinal);
        Assert.Equal("-ERR syntax error\r\n", Do("XPENDING s g - +"));
    }

    [Fact]
    public async Task Blocked_readers_are_served_in_turn_and_told_that_the_group_is_gone()
    {
        await AddAsync();
        Do("XGROUP SETID s g $");
        using var first = Blocked("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
        using var second = Blocked("XREADGROUP GROUP g d BLOCK 0 STREAMS s >");

        await AppendAsync(new(3, 1), "e", "3");
        Assert.Equal("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n3-1\r\n*2\r\n$1\r\ne\r\n$1\r\n3\r\n", first.ReadText());
        Do("XGROUP DESTROY s g");
        Assert.Equal("-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n", second.ReadText());
        Assert.Equal("*-1\r\n", DoAfterGroup("XREADGROUP GROUP g c BLOCK 1 STREAMS s >"));
    }

    private string Do(string command) => Client.Exchange(command);

    private string DoAfterGroup(string command)
    {
        Do("XGROUP CREATE s g $");
        return Do(command);
    }

    /// <summary>A connection whose read waits: its consumer is there as soon as the command has run.</summary>
    private RawConnection Blocked(string command)
    {
        var connection = Server.Connect();
        connection.Send(new Command(command.Split(' ')));
        var consumer = command.Split(' ')[3];
        Assert.True(SpinWait.SpinUntil(
            () => Do("XINFO CONSUMERS s g").Contains($"$1\r\n{consumer}\r\n", StringComparison.Ordinal), TimeSpan.FromSeconds(10)));
        return connection;
    }

    /// <summary>At the store's own door, which serves those who wait at the other.</summary>
    private async Task AppendAsync(EntryId id, string name, string value) => await Server.Store.CommitAsync(
        [new() { Changes = [new CommitChange.Append("s", EntryFields.Create((name, value)), id)] }], TestContext.Current.CancellationToken);

    private async Task AddAsync()
    {
        await AppendAsync(new(1, 1), "a", "1");
        await AppendAsync(new(2, 1), "b", "2");
        Do("XGROUP CREATE s g 0");
    }

    private async Task AddAndReadAsync()
    {
        await AddAsync();
        Do("XREADGROUP GROUP g c STREAMS s >");
    }
}
