using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Commits;

/// <summary>
/// The commands in place of our Lua scripts, byte by byte. What they do is the contract's, which <c>ServerConformance</c> tests through our
/// client; here are the wire form and what it refuses.
/// </summary>
public sealed class CommitCommandsTests
{
    [Fact]
    public async Task Commit_applies_all_changes_and_answers_with_the_new_ids()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("XADD orders 1-1 v a");
        client.Exchange("XGROUP CREATE orders g 0");
        client.Exchange("XREADGROUP GROUP g c STREAMS orders >");

        Assert.Equal("*1\r\n*2\r\n:0\r\n$3\r\n9-9\r\n", client.Exchange(
            "MILLRACE.COMMIT 3 orders out {orders}:state:d salt 0 1 2 held 1 g c 1-1 1 state 3  " +
            "3 append 2 9-9 4 a 1 b 2 put 3 text  ack 1 g 1-1"));

        Assert.Equal("*1\r\n*2\r\n$3\r\n9-9\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n", client.Exchange("XRANGE out - +"));
        Assert.Equal("*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", client.Exchange("XPENDING orders g"));
        Assert.Equal("text", Text(await server.Store.GetStateAsync(new("orders", "d"))));
    }

    [Fact]
    public async Task Commits_of_one_command_stand_alone()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SET text t");

        var reply = client.Exchange(
            "MILLRACE.COMMIT 2 s text salt 0 4 " +
            "2 last 1  last 1 1-1 1 append 1 * 2 a 1 " +
            "0 1 append 2 * 2 a 1 " +
            "0 1 append 1 0-0 2 a 1 " +
            "1 last 1  1 append 1 5-5 2 a 1");

        Assert.StartsWith("*4\r\n*2\r\n:1\r\n:1\r\n*2\r\n:2\r\n$", reply, StringComparison.Ordinal);
        Assert.Contains("\r\nWRONGTYPE The key 'text' ", reply, StringComparison.Ordinal);
        Assert.Contains("\r\nIDNOTINC The ID 0-0 ", reply, StringComparison.Ordinal);
        Assert.EndsWith("\r\n*2\r\n:0\r\n$3\r\n5-5\r\n", reply, StringComparison.Ordinal);
        Assert.Equal("*1\r\n*2\r\n$3\r\n5-5\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n", client.Exchange("XRANGE s - +"));
    }

    [Fact]
    public async Task Commit_that_acknowledges_passes_when_memory_is_used_up()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("XADD s 1-1 v a");
        client.Exchange("XGROUP CREATE s g 0");
        client.Exchange("XREADGROUP GROUP g c STREAMS s >");
        client.Exchange("CONFIG SET maxmemory 1");

        var reply = client.Exchange("MILLRACE.COMMIT 1 s salt 0 2 0 1 append 1 9-9 2 a 1 0 1 ack 1 g 1-1");

        Assert.StartsWith("*2\r\n*2\r\n:2\r\n$", reply, StringComparison.Ordinal);
        Assert.EndsWith("\r\nOOM command not allowed when used memory > 'maxmemory'.\r\n*1\r\n:0\r\n", reply, StringComparison.Ordinal);
        Assert.Equal(":1\r\n", client.Exchange("XLEN s"));
        Assert.Equal("*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", client.Exchange("XPENDING s g"));
    }

    [Theory]
    [InlineData("0 1 append 1 * 2 a 1", 2, "WRONGTYPE ")]
    [InlineData("0 1 append 2 3-3 2 a 1", 2, "IDNOTINC ")]
    [InlineData("1 last 2 3-3 1 append 2 3-3 2 a 1", 2, "IDNOTINC ")]
    [InlineData("1 state 3 7 1 delete 3", 1, "")]
    [InlineData("1 held 2 g c 3-3 1 1 ack 2 g 3-3", 1, "")]
    public async Task Commit_that_is_refused_says_why_and_changes_nothing(string commit, int outcome, string error)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SET text t");
        client.Exchange("XADD s 3-3 v a");

        var reply = client.Exchange($"MILLRACE.COMMIT 3 text s {{s}}:state:d salt 0 1 {commit}");

        Assert.StartsWith($"*1\r\n*2\r\n:{outcome}\r\n", reply, StringComparison.Ordinal);
        Assert.Contains(error, reply, StringComparison.Ordinal);
        Assert.Equal(":1\r\n", client.Exchange("XLEN s"));
        Assert.Equal(":2\r\n", client.Exchange("DBSIZE"));
    }

    [Theory]
    [InlineData("MILLRACE.COMMIT 0 salt", "-ERR wrong number of arguments for 'millrace.commit' command\r\n")]
    [InlineData("MILLRACE.COMMIT x salt 0 0", "-ERR argument 1 of MILLRACE.COMMIT: expected a number\r\n")]
    [InlineData("MILLRACE.COMMIT 9 s salt 0 0", "-ERR argument 1 of MILLRACE.COMMIT: the arguments end too early\r\n")]
    [InlineData("MILLRACE.COMMIT 0 salt 0 -1", "-ERR argument 4 of MILLRACE.COMMIT: expected a number\r\n")]
    [InlineData("MILLRACE.COMMIT 0 salt 0 0 0", "-ERR argument 4 of MILLRACE.COMMIT: there are more arguments than commits\r\n")]
    [InlineData("MILLRACE.COMMIT 0 salt 1 0 0", "-ERR argument 9 of MILLRACE.COMMIT: the arguments end too early\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 1 likes 1 0",
        "-ERR argument 7 of MILLRACE.COMMIT: expected a condition: last, state, held, entry, unread or group, or at last upkeep\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 2 upkeep last 1 0",
        "-ERR argument 7 of MILLRACE.COMMIT: expected a condition: last, state, held, entry, unread or group, or at last upkeep\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 0 1 eat 1", "-ERR argument 8 of MILLRACE.COMMIT: expected a change: append, schedule, put, " +
        "delete, remove, ack, ackdel, leave, destroy or release\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 0 1 ack 2 g 1-1", "-ERR argument 9 of MILLRACE.COMMIT: expected the number of a key, from 1 to 1\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 0 1 ack 1 g x", "-ERR argument 11 of MILLRACE.COMMIT: expected an entry ID\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 0 1 append 1 * 3 a b c",
        "-ERR argument 11 of MILLRACE.COMMIT: expected as many values as names\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 0 1 delete 1",
        "-ERR argument 9 of MILLRACE.COMMIT: 's' is no state document's key, such as {orders}:state:name\r\n")]
    [InlineData("MILLRACE.COMMIT 2 s other salt 0 1 0 1 schedule 1 2 5 2 a b",
        "-ERR argument 11 of MILLRACE.COMMIT: expected the key '{s}:scheduled', not 'other'\r\n")]
    [InlineData("MILLRACE.COMMIT 3 s other again salt 0 1 0 1 release 1 2 3 g 1-1 1 0",
        "-ERR argument 14 of MILLRACE.COMMIT: the private stream of group 'g' is '{s}:again:g', not 'other'\r\n")]
    [InlineData("MILLRACE.COMMIT 4 s other again order salt 0 1 0 1 destroy 1 2 3 4 g",
        "-ERR argument 16 of MILLRACE.COMMIT: the private stream of group 'g' is '{s}:again:g', not 'other'\r\n")]
    [InlineData("MILLRACE.COMMIT 4 s {s}:again:g {s}:again:g:scheduled other salt 0 1 0 1 destroy 1 2 3 4 g",
        "-ERR argument 16 of MILLRACE.COMMIT: the notes on order of group 'g' are '{s}:order:g', not 'other'\r\n")]
    [InlineData("MILLRACE.COMMIT 1 s salt 0 1 1 group 1 g 1-1 x 0", "-ERR argument 11 of MILLRACE.COMMIT: expected a number\r\n")]
    [InlineData("MILLRACE.COMMIT 2 s {s}:scheduled salt 0 1 0 1 schedule 1 2 999999999999999 2 a b",
        "-ERR argument 12 of MILLRACE.COMMIT: a time is at most 315360000000 ms\r\n")]
    [InlineData("MILLRACE.ACKANDDELETE 2 s g 1-1", "-ERR MILLRACE.ACKANDDELETE takes one key\r\n")]
    [InlineData("MILLRACE.CLAIM 1 s g c 0 1-1", "-NOGROUP There is no consumer group 'g' on stream 's'. Create it first.\r\n")]
    [InlineData("MILLRACE.EXTEND 1 s g c 1-1", "-ERR wrong number of arguments for 'millrace.extend' command\r\n")]
    [InlineData("MILLRACE.ONSTREAM 1 s GET a b", "-ERR MILLRACE.ONSTREAM runs XINFO and XGROUP on its key\r\n")]
    [InlineData("MILLRACE.ONSTREAM 1 s XINFO STREAM other", "-ERR MILLRACE.ONSTREAM runs XINFO and XGROUP on its key\r\n")]
    public async Task Mistake_in_the_arguments_is_named(string command, string error)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal(error, client.Exchange(command));
    }

    [Fact]
    public async Task Name_longer_than_the_contract_allows_is_not_quoted()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal(
            "-ERR argument 2 of MILLRACE.COMMIT: a name has at most 1024 bytes\r\n",
            client.Exchange($"MILLRACE.COMMIT 1 {new string('k', 1025)} salt 0 1 0 1 delete 1"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Damaged_arguments_get_one_reply_and_no_more(int seed)
    {
        string[] whole = ["MILLRACE.COMMIT", "5", "s", "{s}:state:d", "{s}:scheduled", "{s}:again:g", "{s}:again:g:scheduled", "salt",
            "1", "1", "g", "c", "1-1", "1-2", "9",
            "1", "3", "last", "1", "", "state", "2", "", "held", "1", "g", "c", "1-1", "1",
            "7", "append", "1", "*", "2", "a", "b", "schedule", "1", "3", "5", "2", "a", "b", "put", "2", "payload", "", "delete", "2",
            "ack", "1", "g", "1-1", "ackdel", "1", "g", "1-2", "release", "1", "4", "5", "g", "1-1", "1", "0"];
        string[] others = ["0", "1", "-1", "9", "1048576", "9223372036854775807", "18446744073709551616", "", "*", "0-0", "{", "\u00ff", "append", "held"];
        var random = new Random(seed);
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Send(new Command(whole));
        Assert.Equal("*1\r\n*2\r\n:1\r\n:2\r\n", client.ReadText());

        for (var i = 0; i < 2000; i++)
        {
            List<string> damaged = [.. whole];
            for (var left = random.Next(3); left >= 0; left--)
            {
                var at = random.Next(1, damaged.Count);
                if (random.Next(4) == 0)
                    damaged.RemoveAt(at);
                else if (random.Next(4) == 0)
                    damaged.Insert(at, others[random.Next(others.Length)]);
                else
                    damaged[at] = others[random.Next(others.Length)];
            }

            client.Send(new Command([.. damaged]));
            Assert.Matches("^(\\*|-ERR )", client.ReadText());
            Assert.Equal("+PONG\r\n", client.Exchange("PING"));
        }
    }

    [Fact]
    public async Task Commands_on_a_missing_stream_answer_with_null_or_nothing()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("$-1\r\n", client.Exchange("MILLRACE.ONSTREAM 1 s XINFO STREAM s"));
        Assert.Equal("*0\r\n", client.Exchange("MILLRACE.EXTEND 1 s g c 1-1 1"));
        Assert.Equal(":0\r\n", client.Exchange("MILLRACE.ACKANDDELETE 1 s g 1-1"));
        Assert.Equal(":0\r\n", client.Exchange("MILLRACE.DELETESTREAM 1 s"));
    }

    [Fact]
    public async Task Our_client_finds_the_command_and_needs_no_scripts()
    {
        await using var server = await TestServer.StartAsync(options => options.Password = "s3cret");
        using var client = server.Connect();
        client.Exchange("AUTH s3cret");
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port, Password = "s3cret", Database = 3 });

        var result = await store.CommitAsync([new() { Changes = [new CommitChange.Append("s", EntryFields.Create(("a", "1")))] }]);

        Assert.True(Assert.Single(result).IsApplied);
        Assert.Contains(" cmd=millrace.commit ", client.Exchange("CLIENT LIST"), StringComparison.Ordinal);
        Assert.Equal(":0\r\n", client.Exchange("DBSIZE"));
        Assert.Equal("+OK\r\n", client.Exchange("SELECT 3"));
        Assert.Equal(":1\r\n", client.Exchange("XLEN s"));
    }

    [Fact]
    public async Task User_without_the_right_to_a_key_commits_the_rest()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", client.Exchange("ACL SETUSER shop on >s3cret ~mine +@all"));
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port, User = "shop", Password = "s3cret" });

        var results = await store.CommitAsync([.. ((string[])["mine", "theirs", "mine"]).Select(
            stream => new Commit { Changes = [new CommitChange.Append(stream, EntryFields.Create(("a", "1")))] })]);
        var info = await Assert.ThrowsAsync<StreamException>(async () => await store.GetStreamInfoAsync("theirs"));

        Assert.Equal([null, StreamErrorCode.PermissionDenied, null], results.Select(result => result.Failure?.Code));
        Assert.Equal(StreamErrorCode.PermissionDenied, info.Code);
        Assert.Equal(":2\r\n", client.Exchange("XLEN mine"));
        Assert.Equal(":0\r\n", client.Exchange("EXISTS theirs"));
    }

    [Fact]
    public async Task State_document_is_the_string_it_is_on_Redis()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        var key = new StateKey("s", "d");
        await server.Store.CommitAsync([new() { Changes = [new CommitChange.PutState(key, "text"u8.ToArray())] }]);
        var version = (await server.Store.GetStateAsync(key))!.Version;

        Assert.Equal("+string\r\n", client.Exchange("TYPE {s}:state:d"));
        Assert.Equal($"$18\r\n{version}\ntext\r\n", client.Exchange("GET {s}:state:d"));

        client.Send(new Command("SET", "{s}:state:d", "9000000000000000000\nby hand"));
        Assert.Equal("+OK\r\n", client.ReadText());
        Assert.Equal("by hand", Text(await server.Store.GetStateAsync(key)));
        await server.Store.CommitAsync([new() { Changes = [new CommitChange.PutState(key, "again"u8.ToArray())] }]);
        Assert.Equal(9000000000000000001, (await server.Store.GetStateAsync(key))!.Version);
    }

    [Fact]
    public async Task String_that_is_no_document_has_no_version_but_is_there()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("SET {s}:state:d plain");
        var key = new StateKey("s", "d");

        var error = await Assert.ThrowsAsync<StreamException>(async () => await server.Store.GetStateAsync(key));
        Assert.Equal(StreamErrorCode.WrongType, error.Code);
        Assert.NotNull((await PutAsync(CommitCondition.StateAbsent(key))).Conflict);
        Assert.NotNull((await PutAsync(CommitCondition.StateIs(key, 1))).Conflict);
        Assert.True((await PutAsync()).IsApplied);
        Assert.Equal("put", Text(await server.Store.GetStateAsync(key)));

        async Task<CommitResult> PutAsync(params CommitCondition[] conditions) => (await server.Store.CommitAsync(
            [new() { Conditions = conditions, Changes = [new CommitChange.PutState(key, "put"u8.ToArray())] }]))[0];
    }

    [Theory]
    [InlineData("orders", "d")]
    [InlineData("{tag}:orders", "order/1")]
    [InlineData("user:{123}:events", "a:state:b")]
    [InlineData("a:state:b", "d")]
    public void Key_of_a_document_names_its_stream(string stream, string name)
    {
        var redisKey = StreamNames.State(new(stream, name));
        Assert.True(StreamNames.TryParseState(redisKey, out var key));
        Assert.Equal(redisKey, StreamNames.State(key));
    }

    [Theory]
    [InlineData("orders")]
    [InlineData("orders:state:d")]
    [InlineData("{}:state:d")]
    [InlineData("{orders}:state:")]
    [InlineData("}{:state:d")]
    public void Key_of_another_form_names_no_document(string redisKey) => Assert.False(StreamNames.TryParseState(redisKey, out _));

    private static string Text(StateDocument? document) => System.Text.Encoding.UTF8.GetString(document!.Payload.Span);
}
