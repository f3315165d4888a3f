using System.Reflection;
using Millrace.Tests.Clients;

namespace Millrace.Tests.Differential;

/// <summary>What ours does in each of the <see cref="VersionChanges"/>, in the words of the specification.</summary>
public sealed class VersionChangeTests(VersionChangeTests.Server server) : IClassFixture<VersionChangeTests.Server>, IDisposable
{
    private const string NoGroup = "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";

    private readonly Side _side = server.Connect();

    public void Dispose() => _side.Dispose();

    [Fact]
    public void Every_change_has_a_test()
    {
        var tested = typeof(VersionChangeTests).GetMethods().SelectMany(method => method.GetCustomAttributes<OfAttribute>()).Select(of => of.Change);
        var changes = typeof(VersionChanges).GetFields(BindingFlags.Static | BindingFlags.Public).Select(field => field.Name);

        Assert.Equal(changes.Order(StringComparer.Ordinal), tested.Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    [Of(nameof(VersionChanges.ConsumerInactive))]
    public void Consumer_shows_its_last_delivery_beside_its_last_attempt()
    {
        Do("XADD s 1-0 f v", "XGROUP CREATE s g 0", "XGROUP CREATECONSUMER s g a", "XREADGROUP GROUP g b STREAMS s >");

        var consumers = Ask("XINFO CONSUMERS s g").Children!;
        var full = Ask("XINFO STREAM s FULL").Find("groups")!.Children![0].Find("consumers")!.Children!;

        Assert.Equal(["name", "pending", "idle", "inactive"], Names(consumers[0]));
        Assert.Equal("-1", consumers[0].Find("inactive")!.Text);
        Assert.NotEqual("-1", consumers[1].Find("inactive")!.Text);
        Assert.Equal(["name", "seen-time", "active-time", "pel-count", "pending"], Names(full[0]));
        Assert.Equal("-1", full[0].Find("active-time")!.Text);
    }

    [Fact]
    [Of(nameof(VersionChanges.IdempotenceFields))]
    public void Stream_shows_how_repeats_are_kept()
    {
        Do("XADD s 1-0 f v");

        string[] added = ["idmp-duration", "idmp-maxsize", "pids-tracked", "iids-tracked", "iids-added", "iids-duplicates"];
        string[] start =
            ["length", "radix-tree-keys", "radix-tree-nodes", "last-generated-id", "max-deleted-entry-id", "entries-added", "recorded-first-entry-id"];
        Assert.Equal([.. start, .. added, "groups", "first-entry", "last-entry"], Names(Ask("XINFO STREAM s")));
        Assert.Equal([.. start, .. added, "entries", "groups"], Names(Ask("XINFO STREAM s FULL")));
    }

    [Fact]
    [Of(nameof(VersionChanges.NackedCount))]
    public void Group_shows_how_many_were_given_back()
    {
        Do("XADD s 1-0 f v", "XGROUP CREATE s g 0");

        Assert.Equal("0", Ask("XINFO STREAM s FULL").Find("groups")!.Children![0].Find("nacked-count")!.Text);
    }

    [Theory]
    [InlineData("DEL s", NoGroup)]
    [InlineData("UNLINK s", NoGroup)]
    [InlineData("FLUSHDB", NoGroup)]
    [InlineData("FLUSHALL", NoGroup)]
    [InlineData("RENAME s other", NoGroup)]
    [InlineData("SWAPDB 0 1", NoGroup)]
    [InlineData("PEXPIRE s -1", NoGroup)]
    [InlineData("PEXPIRE s 30", NoGroup)]
    [InlineData("XGROUP DESTROY s g", NoGroup)]
    [InlineData("SET s string", "WRONGTYPE Operation against a key holding the wrong kind of value")]
    [Of(nameof(VersionChanges.BlockedReadReruns))]
    public void Blocked_read_whose_group_vanishes_ends_as_the_command_would_end_now(string command, string error)
    {
        Do("XGROUP CREATE s g $ MKSTREAM");
        var blocked = Block("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");

        Do(command);

        Assert.Equal($"-{error}", RespNode.Parse(blocked.Read()).ToString());
    }

    /// <summary>7.0 compares the last ID, which XSETID moved without an entry, and wakes for whatever happens to the key.</summary>
    [Fact]
    [Of(nameof(VersionChanges.BlockedReadReruns))]
    public void Read_is_not_woken_with_nothing_to_say()
    {
        Do("XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE s other $", "XSETID s 5-0");
        var blocked = Block("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");

        Do("XGROUP DESTROY s other");
        Assert.True(_side.IsBlocked(0));

        Do("XADD s 6-0 f v");
        Assert.Equal("*[*[$s *[*[$6-0 *[$f $v]]]]]", RespNode.Parse(blocked.Read()).ToString());
    }

    [Theory]
    [InlineData("XREADGROUP GROUP g new STREAMS s >")]
    [InlineData("XCLAIM s g new 0 1-0")]
    [InlineData("XAUTOCLAIM s g new 0 0")]
    [Of(nameof(VersionChanges.ConsumerAlwaysCreated))]
    public void Consumer_is_created_even_if_nothing_is_delivered(string command)
    {
        Do("XGROUP CREATE s g $ MKSTREAM", command);

        Assert.Equal("new", Assert.Single(Ask("XINFO CONSUMERS s g").Children!).Find("name")!.Text);
    }

    [Fact]
    [Of(nameof(VersionChanges.SetIdBelowMaxDeleted))]
    public void Last_id_cannot_go_below_the_highest_deleted_id()
    {
        Do("XADD s 1-0 f v", "XADD s 5-0 f v", "XDEL s 5-0");

        const string error = "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
        Assert.Equal(error, Ask("XSETID s 4-0").ToString());
        Assert.Equal(error, Ask("XSETID s 0-1").ToString());
        Assert.Equal("+OK", Ask("XSETID s 5-0").ToString());
    }

    [Theory]
    [InlineData("XREAD STREAMS a b 0", "-ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.")]
    [InlineData("XREADGROUP GROUP g c STREAMS a b 0", "-ERR Unbalanced 'xreadgroup' list of streams: ")]
    [Of(nameof(VersionChanges.UnbalancedText))]
    public void Unbalanced_list_names_the_command(string command, string error) =>
        Assert.StartsWith(error, Ask(command).ToString(), StringComparison.Ordinal);

    [Fact]
    [Of(nameof(VersionChanges.FullMillisecondText))]
    public void Full_millisecond_refuses_the_next_id_as_smaller()
    {
        Do("XADD s 5-18446744073709551615 f v");

        Assert.Equal("-ERR The ID specified in XADD is equal or smaller than the target stream top item", Ask("XADD s 5-* f v").ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.Lag))]
    public void Group_behind_the_first_entry_lags_by_the_length()
    {
        Do("XGROUP CREATE s g 0 MKSTREAM ENTRIESREAD 0", "XADD s 1-0 f v", "XADD s 2-0 f v", "XADD s 3-0 f v", "XTRIM s MAXLEN 2");
        Assert.Equal(":2", Ask("XINFO GROUPS s").Children![0].Find("lag")!.ToString());

        Do("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
        Assert.Equal(":1", Ask("XINFO GROUPS s").Children![0].Find("lag")!.ToString());
        Assert.Equal(":2", Ask("XINFO GROUPS s").Children![0].Find("entries-read")!.ToString());
    }

    [Theory]
    [InlineData("XGROUP CREATE s g 0 ENTRIESREAD 100")]
    [InlineData("XGROUP SETID s h 0 ENTRIESREAD 100")]
    [Of(nameof(VersionChanges.EntriesReadClamped))]
    public void Entries_read_cannot_exceed_what_was_added(string command)
    {
        Do("XADD s 1-0 f v", "XADD s 2-0 f v", "XGROUP CREATE s h 0", command);

        Assert.Contains(Ask("XINFO GROUPS s").Children!, group => group.Find("entries-read")!.ToString() == ":2");
    }

    [Fact]
    [Of(nameof(VersionChanges.UnknownCommandTail))]
    public void Unknown_command_without_arguments_lists_none()
    {
        Assert.Equal("-ERR unknown command 'FOO'", Ask("FOO").ToString());
        Assert.Equal("-ERR unknown command 'FOO', with args beginning with: 'a' 'b' ", Ask("FOO a b").ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.WokenByTransaction))]
    public void Keys_written_in_one_transaction_come_back_together()
    {
        var blocked = Block("XREAD BLOCK 0 STREAMS a b $ $");

        Do("MULTI", "XADD b 1-0 f v", "XADD a 1-0 f v", "EXEC");

        Assert.Equal("*[*[$a *[*[$1-0 *[$f $v]]]] *[$b *[*[$1-0 *[$f $v]]]]]", RespNode.Parse(blocked.Read()).ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.WokenByTransaction))]
    public void Entry_added_and_deleted_in_one_transaction_wakes_nobody()
    {
        Do("XGROUP CREATE s g $ MKSTREAM");
        var blocked = Block("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");

        Do("MULTI", "XADD s 1-0 f v", "XDEL s 1-0", "EXEC");
        Assert.True(_side.IsBlocked(0));

        Do("XADD s 2-0 f v");
        Assert.Equal("*[*[$s *[*[$2-0 *[$f $v]]]]]", RespNode.Parse(blocked.Read()).ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.WokenByTransaction))]
    public void Keys_swapped_in_come_back_together()
    {
        Do("SELECT 1", "XADD a 1-0 f v", "XADD b 1-0 f v");
        var blocked = Block("XREAD BLOCK 0 STREAMS b a 0 0");

        Do("SWAPDB 0 1");

        Assert.Equal("*[*[$b *[*[$1-0 *[$f $v]]]] *[$a *[*[$1-0 *[$f $v]]]]]", RespNode.Parse(blocked.Read()).ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.WokenByTransaction))]
    public void Key_named_twice_comes_back_twice()
    {
        var blocked = Block("XREAD BLOCK 0 STREAMS s s $ $");

        Do("XADD s 1-0 f v");

        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v]]]] *[$s *[*[$1-0 *[$f $v]]]]]", RespNode.Parse(blocked.Read()).ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.BlockedReadReruns))]
    public void Entry_trimmed_by_its_own_command_wakes_nobody()
    {
        var blocked = Block("XREAD BLOCK 0 STREAMS s $");

        Do("XADD s MAXLEN 0 1-0 f v");
        Assert.True(_side.IsBlocked(0));

        Do("XADD s 2-0 f v");
        Assert.Equal("*[*[$s *[*[$2-0 *[$f $v]]]]]", RespNode.Parse(blocked.Read()).ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.NewWords))]
    public void Plus_reads_the_last_entry()
    {
        Do("XADD s 1-0 f v", "XADD s 2-0 f v");

        Assert.Equal("*[*[$s *[*[$2-0 *[$f $v]]]]]", Ask("XREAD COUNT 5 STREAMS s +").ToString());
    }

    [Fact]
    [Of(nameof(VersionChanges.NewWords))]
    public void Plus_is_no_place_in_a_history()
    {
        Do("XGROUP CREATE s g $ MKSTREAM");

        Assert.StartsWith("-ERR The + ID is meaningless in the context of XREADGROUP: ", Ask("XREADGROUP GROUP g c STREAMS s +").ToString(),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("XDELEX s KEEPREF IDS 1 1-0", "*[:1]")]
    [InlineData("XACKDEL s g DELREF IDS 1 1-0", "*[:1]")]
    [InlineData("XTRIM s MAXLEN 0 ACKED", ":0")]
    [InlineData("XREADGROUP GROUP g c CLAIM 0 STREAMS s >", "*[*[$s *[*[$1-0 *[$f $v] :0 :1]]]]")]
    [InlineData("XCFGSET s IDMP-DURATION 5", "+OK")]
    [InlineData("XNACK s g FAIL IDS 1 1-0", ":1")]
    [InlineData("XREAD MAXCOUNT 1 MAXSIZE 1 STREAMS s 0", "*[*[$s *[*[$1-0 *[$f $v]]]]]")]
    [Of(nameof(VersionChanges.NewWords))]
    public void Newer_commands_are_there(string command, string reply)
    {
        Do("XADD s 1-0 f v", "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >");

        Assert.Equal(reply, IdleAsZero(Ask(command).ToString()));
    }

    [Fact]
    [Of(nameof(VersionChanges.NewWords))]
    public void Repeated_publication_gets_the_first_id()
    {
        var first = Ask("XADD s IDMP p i * f v").ToString();

        Assert.Equal(first, Ask("XADD s IDMP p i * f v").ToString());
        Assert.Equal(":1", Ask("XLEN s").ToString());
    }

    // A pending entry may have been idle for some milliseconds when it is claimed.
    private static string IdleAsZero(string reply) => System.Text.RegularExpressions.Regex.Replace(reply, @"\] :\d+ :", "] :0 :");

    private RespNode Ask(string command) => _side.Main.Ask(command.Split(' '));

    private void Do(params string[] commands)
    {
        foreach (var command in commands)
        {
            var reply = Ask(command);
            Assert.False(reply.IsError, $"{command}: {reply}");
        }
    }

    private RawConnection Block(string command)
    {
        var connection = _side.Blocker(0);
        connection.Send(new Command(command.Split(' ')));
        Assert.True(_side.IsBlocked(0), command);
        return connection;
    }

    private static string[] Names(RespNode map) => [.. map.Children!.Where((_, i) => i % 2 == 0).Select(name => name.Text)];

    /// <summary>Our server for all tests of the class, which run one after the other; each starts from nothing.</summary>
    public sealed class Server : IAsyncLifetime
    {
        private MillraceServer? _server;

        public async ValueTask InitializeAsync() => _server = await MillraceServer.StartAsync("--memory");

        internal Side Connect()
        {
            var side = new Side(_server!.Endpoint);
            side.Reset(protocol: 2);
            return side;
        }

        public ValueTask DisposeAsync() => _server?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    /// <summary>Which of the changes a test is about.</summary>
    [AttributeUsage(AttributeTargets.Method)]
    private sealed class OfAttribute(string change) : Attribute
    {
        public string Change => change;
    }
}
