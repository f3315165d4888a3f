using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.PubSub;

/// <summary>
/// Subscribing, publishing, and what a subscribed client may do. Replies as redis-server 7.0.15 gives them, but for the order of own messages.
/// </summary>
public sealed class PubSubTests
{
    private const string OnlyThese =
        "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n";

    [Fact]
    public async Task Message_goes_to_channels_and_patterns()
    {
        await using var server = await TestServer.StartAsync();
        using var listener = server.Connect();
        using var publisher = server.Connect();
        Assert.Equal(Change("subscribe", "news", 1), listener.Exchange("SUBSCRIBE news news"));
        Assert.Equal(Change("subscribe", "news", 1), listener.ReadText());
        Assert.Equal(Change("psubscribe", "n?ws", 2), listener.Exchange("PSUBSCRIBE n?ws x*"));
        Assert.Equal(Change("psubscribe", "x*", 3), listener.ReadText());

        Assert.Equal(":2\r\n", publisher.Exchange("PUBLISH news hello"));
        Assert.Equal(":1\r\n", publisher.Exchange("PUBLISH x \xff\xfe"));
        Assert.Equal(":0\r\n", publisher.Exchange("PUBLISH other hello"));

        Assert.Equal("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n", listener.ReadText());
        Assert.Equal("*4\r\n$8\r\npmessage\r\n$4\r\nn?ws\r\n$4\r\nnews\r\n$5\r\nhello\r\n", listener.ReadText());
        Assert.Equal("*4\r\n$8\r\npmessage\r\n$2\r\nx*\r\n$1\r\nx\r\n$2\r\n\xff\xfe\r\n", listener.ReadText());
    }

    [Fact]
    public async Task Unsubscribe_counts_down_to_a_client_like_any_other()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SUBSCRIBE a");
        client.Exchange("SUBSCRIBE b");
        client.Exchange("PSUBSCRIBE p");
        Assert.Equal(Change("unsubscribe", "none", 3), client.Exchange("UNSUBSCRIBE none"));
        Assert.Equal(Change("unsubscribe", "a", 2), client.Exchange("UNSUBSCRIBE"));
        Assert.Equal(Change("unsubscribe", "b", 1), client.ReadText());
        Assert.Equal("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n", client.Exchange("UNSUBSCRIBE"));
        Assert.StartsWith("-ERR Can't execute 'get'", client.Exchange("GET x"), StringComparison.Ordinal);
        Assert.Equal(Change("punsubscribe", "p", 0), client.Exchange("PUNSUBSCRIBE p"));
        Assert.Equal("*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n", client.Exchange("PUNSUBSCRIBE"));
        Assert.Equal("$-1\r\n", client.Exchange("GET x"));
    }

    [Fact]
    public async Task Subscribed_client_of_RESP2_may_ask_for_little_else()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SUBSCRIBE c");
        Assert.Equal("*2\r\n$4\r\npong\r\n$0\r\n\r\n", client.Exchange("PING"));
        Assert.Equal("*2\r\n$4\r\npong\r\n$2\r\nhi\r\n", client.Exchange("PING hi"));
        Assert.Equal($"-ERR Can't execute 'get': {OnlyThese}", client.Exchange("GET x"));
        Assert.Equal($"-ERR Can't execute 'xgroup|create': {OnlyThese}", client.Exchange("XGROUP CREATE a b c"));
        Assert.Equal($"-ERR Can't execute 'hello': {OnlyThese}", client.Exchange("HELLO 3"));
        Assert.Equal("-ERR unknown command 'NOPE'\r\n", client.Exchange("NOPE"));
        Assert.Equal("+RESET\r\n", client.Exchange("RESET"));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
        Assert.Equal("*0\r\n", client.Exchange("PUBSUB CHANNELS"));
        client.Exchange("SUBSCRIBE c");
        Assert.Equal("+OK\r\n", client.Exchange("QUIT"));
    }

    [Fact]
    public async Task Subscribed_client_of_RESP3_gets_pushes_beside_its_replies()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("HELLO 3");
        Assert.Equal(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", client.Exchange("SUBSCRIBE c"));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
        Assert.Equal("_\r\n", client.Exchange("GET x"));
        Assert.Equal(">3\r\n$12\r\npunsubscribe\r\n_\r\n:1\r\n", client.Exchange("PUNSUBSCRIBE"));

        // Since Redis 7.2, what a client publishes to itself comes after the reply; 7.0 put it before.
        Assert.Equal(":1\r\n", client.Exchange("PUBLISH c self"));
        Assert.Equal(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nself\r\n", client.ReadText());
    }

    [Fact]
    public async Task Own_messages_of_a_transaction_follow_its_reply()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("MULTI");
        Assert.Equal("+QUEUED\r\n", client.Exchange("SUBSCRIBE c"));
        Assert.Equal("+QUEUED\r\n", client.Exchange("PUBLISH c m"));
        Assert.Equal("+QUEUED\r\n", client.Exchange("PING"));
        Assert.Equal("+QUEUED\r\n", client.Exchange("GET x"));
        Assert.Equal(
            "*4\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n$-1\r\n",
            client.Exchange("EXEC"));
        Assert.Equal("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", client.ReadText());
    }

    [Fact]
    public async Task Shard_channels_are_channels_of_their_own()
    {
        await using var server = await TestServer.StartAsync();
        using var listener = server.Connect();
        using var publisher = server.Connect();
        listener.Exchange("SUBSCRIBE c");
        Assert.Equal(Change("ssubscribe", "c", 1), listener.Exchange("SSUBSCRIBE c"));
        Assert.Equal(":1\r\n", publisher.Exchange("SPUBLISH c m"));
        Assert.Equal("*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", listener.ReadText());
        Assert.Equal("*1\r\n$1\r\nc\r\n", publisher.Exchange("PUBSUB SHARDCHANNELS"));
        Assert.Equal("*4\r\n$1\r\nc\r\n:1\r\n$1\r\nd\r\n:0\r\n", publisher.Exchange("PUBSUB SHARDNUMSUB c d"));
        Assert.Equal(Change("sunsubscribe", "c", 0), listener.Exchange("SUNSUBSCRIBE"));
        Assert.Equal("*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n", listener.Exchange("SUNSUBSCRIBE"));
        Assert.Equal("-ERR The command has no key arguments\r\n", publisher.Exchange("COMMAND GETKEYS SPUBLISH c m"));
    }

    [Fact]
    public async Task Pubsub_and_client_list_tell_who_listens()
    {
        await using var server = await TestServer.StartAsync();
        using var listener = server.Connect();
        using var asker = server.Connect();
        listener.Exchange("SUBSCRIBE a");
        listener.Exchange("SUBSCRIBE b");
        listener.Exchange("PSUBSCRIBE *");
        Assert.Equal("*2\r\n$1\r\na\r\n$1\r\nb\r\n", asker.Exchange("PUBSUB CHANNELS"));
        Assert.Equal("*1\r\n$1\r\nb\r\n", asker.Exchange("PUBSUB CHANNELS [b-z]"));
        Assert.Equal("*4\r\n$1\r\na\r\n:1\r\n$1\r\nz\r\n:0\r\n", asker.Exchange("PUBSUB NUMSUB a z"));
        Assert.Equal("*0\r\n", asker.Exchange("PUBSUB NUMSUB"));
        Assert.Equal(":1\r\n", asker.Exchange("PUBSUB NUMPAT"));
        Assert.Contains(" flags=P db=0 sub=2 psub=1 ssub=0 ", asker.Exchange("CLIENT LIST TYPE pubsub"), StringComparison.Ordinal);
        Assert.Equal(
            "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.\r\n", asker.Exchange("PUBSUB CHANNELS a b"));
        Assert.Equal("-ERR wrong number of arguments for 'pubsub' command\r\n", asker.Exchange("PUBSUB"));
        Assert.StartsWith("*14\r\n+PUBSUB <subcommand>", asker.Exchange("PUBSUB HELP"), StringComparison.Ordinal);

        Assert.Equal(":1\r\n", asker.Exchange("CLIENT KILL TYPE pubsub"));
        Assert.Equal(":0\r\n", asker.Exchange("PUBLISH a m"));
    }

    [Fact]
    public async Task Listener_that_does_not_read_is_disconnected()
    {
        await using var server = await TestServer.StartAsync(options => options.MaxOutputBytes = 1024 * 1024);
        using var listener = server.Connect();
        using var publisher = server.Connect();
        listener.Exchange("SUBSCRIBE c");

        // The sockets between the two take some messages; far fewer than these.
        var publish = new Command("PUBLISH", "c", new string('x', 100 * 1024));
        var sent = 0;
        do
        {
            publisher.Send(publish);
            Assert.InRange(++sent, 1, 10_000);
        }
        while (publisher.ReadText() == ":1\r\n");

        Assert.Throws<NoReplyException>(() => ReadAll(listener));
    }

    private static void ReadAll(RawConnection listener)
    {
        while (true)
            listener.Read();
    }

    private static string Change(string word, string name, int count) =>
        $"*3\r\n${word.Length}\r\n{word}\r\n${name.Length}\r\n{name}\r\n:{count}\r\n";
}
