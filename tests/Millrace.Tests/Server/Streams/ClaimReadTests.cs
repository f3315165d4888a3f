using Millrace.Embedded;
using Millrace.Server;
using Millrace.Tests.Differential;
using Millrace.Tests.Embedded;

namespace Millrace.Tests.Server.Streams;

/// <summary>XREADGROUP with CLAIM: what it takes over, in which order, and when it waits.</summary>
public sealed class ClaimReadTests : IAsyncLifetime
{
    private readonly ManualTime _time = new();
    private readonly EmbeddedStreamStore _store;
    private readonly RespServer _server;
    private RawConnection _client = null!;

    public ClaimReadTests()
    {
        _store = new(new(), _time);
        _server = new(_store, new() { Port = 0 });
    }

    public async ValueTask InitializeAsync()
    {
        await _server.StartAsync(TestContext.Current.CancellationToken);
        _client = new(_server.Endpoint);
        Do("XGROUP CREATE s g 0 MKSTREAM");
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
        await _store.DisposeAsync();
    }

    [Theory]
    [InlineData("XREADGROUP GROUP g c CLAIM -1 STREAMS s >", "-ERR min-idle-time must be a positive integer")]
    [InlineData("XREADGROUP GROUP g c CLAIM x STREAMS s >", "-ERR min-idle-time is not an integer or out of range")]
    [InlineData("XREADGROUP GROUP g c CLAIM", "-ERR wrong number of arguments for 'xreadgroup' command")]
    [InlineData("XREAD CLAIM 5 STREAMS s 0", "-ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.")]
    [InlineData("XREADGROUP GROUP h c CLAIM 5 STREAMS s >", "-NOGROUP No such key 's' or consumer group 'h' in XREADGROUP with GROUP option")]
    [InlineData("XREADGROUP GROUP g c CLAIM 0 STREAMS s >", "*-1")]
    public void Call_that_claims_nothing_says_why(string command, string reply) => Assert.Equal(reply, Ask(command));

    [Fact]
    public void Longest_idle_come_first_then_new_ones_and_the_count_covers_both()
    {
        Add(4);
        Do("XREADGROUP GROUP g a COUNT 1 STREAMS s >");
        Move(10);
        Do("XREADGROUP GROUP g a COUNT 1 STREAMS s >");
        Move(10);
        Do("XCLAIM s g b 0 1-0");
        Move(10);

        Assert.Equal(
            "*[*[$s *[*[$2-0 *[$f $v] :20 :1] *[$1-0 *[$f $v] :10 :2] *[$3-0 *[$f $v] :0 :0]]]]",
            Ask("XREADGROUP GROUP g c COUNT 3 CLAIM 10 STREAMS s >"));
        Assert.Equal("*[*[$1-0 $c :0 :3] *[$2-0 $c :0 :2] *[$3-0 $c :0 :1]]", Ask("XPENDING s g - + 10"));
        Assert.Equal("*[*[$s *[*[$4-0 *[$f $v]]]]]", Ask("XREADGROUP GROUP g c STREAMS s >"));
    }

    [Fact]
    public void Entry_not_idle_long_enough_stays_with_its_owner()
    {
        Add(1);
        Do("XREADGROUP GROUP g a STREAMS s >");
        Move(9);

        Assert.Equal("*-1", Ask("XREADGROUP GROUP g c CLAIM 10 STREAMS s >"));
        Assert.Equal("*[*[$1-0 $a :9 :1]]", Ask("XPENDING s g - + 10"));
        Assert.Contains("$1\r\nc\r\n", Do("XINFO CONSUMERS s g"), StringComparison.Ordinal);
    }

    [Fact]
    public void Deleted_entries_are_passed_over_and_stay_pending()
    {
        Add(3);
        Do("XREADGROUP GROUP g a STREAMS s >");
        Do("XDEL s 1-0");

        Assert.Equal("*[*[$s *[*[$2-0 *[$f $v] :0 :1]]]]", Ask("XREADGROUP GROUP g c COUNT 1 CLAIM 0 STREAMS s >"));
        Assert.Equal(":3", _client.Ask("XPENDING", "s", "g").Children![0].ToString());
    }

    [Fact]
    public void Without_acknowledgement_only_new_entries_are_not_pending()
    {
        Add(2);
        Do("XREADGROUP GROUP g a COUNT 1 STREAMS s >");

        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :0 :1] *[$2-0 *[$f $v] :0 :0]]]]", Ask("XREADGROUP GROUP g c NOACK CLAIM 0 STREAMS s >"));
        Assert.Equal("*[*[$1-0 $c :0 :2]]", Ask("XPENDING s g - + 10"));
    }

    [Fact]
    public void History_takes_no_notice_of_it()
    {
        Add(1);
        Do("XREADGROUP GROUP g a STREAMS s >");

        Assert.Equal("*[*[$s *[]]]", Ask("XREADGROUP GROUP g c CLAIM 0 STREAMS s 0"));
        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v]]]]]", Ask("XREADGROUP GROUP g a CLAIM 0 STREAMS s 0"));
    }

    [Fact]
    public void Limits_over_all_streams_cover_claimed_entries()
    {
        Add(3);
        Do("XGROUP CREATE t g 0 MKSTREAM");
        Do("XADD t 1-0 f v");
        Do("XREADGROUP GROUP g a COUNT 2 STREAMS s t > >");

        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :0 :1]]]]", Ask("XREADGROUP GROUP g c MAXSIZE 1 CLAIM 0 STREAMS s t > >"));
        Assert.Equal(
            "*[*[$s *[*[$1-0 *[$f $v] :0 :2] *[$2-0 *[$f $v] :0 :1] *[$3-0 *[$f $v] :0 :0]]] *[$t *[*[$1-0 *[$f $v] :0 :1]]]]",
            Ask("XREADGROUP GROUP g c MAXCOUNT 4 CLAIM 0 STREAMS s t > >"));

        // 15 bytes in front of the entries, 39 for each.
        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :0 :3] *[$2-0 *[$f $v] :0 :2]]]]", Ask("XREADGROUP GROUP g c MAXSIZE 93 CLAIM 0 STREAMS s t > >"));
        Assert.Equal(
            "*[*[$s *[*[$1-0 *[$f $v] :0 :4] *[$2-0 *[$f $v] :0 :3] *[$3-0 *[$f $v] :0 :1]]]]",
            Ask("XREADGROUP GROUP g c MAXSIZE 94 CLAIM 0 STREAMS s t > >"));
    }

    [Fact]
    public void Resp3_has_a_map()
    {
        Add(1);
        Do("HELLO 3");

        Assert.Equal(
            "%1\r\n$1\r\ns\r\n*1\r\n*4\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n:0\r\n:0\r\n",
            Do("XREADGROUP GROUP g c CLAIM 5 STREAMS s >"));
    }

    [Fact]
    public void Waiting_reader_is_served_when_an_entry_is_idle_enough_and_not_before()
    {
        Add(1);
        Do("XREADGROUP GROUP g a STREAMS s >");
        using var reader = Blocked("XREADGROUP GROUP g c BLOCK 0 CLAIM 100 STREAMS s >");

        Move(99);
        Do("PING");
        Assert.False(reader.HasInput);
        Move(1);

        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :100 :1]]]]", Reply(reader));
        Assert.Equal(0, _store.CountWaiting());
        Assert.Equal(long.MaxValue, _store.BlockedNeedsLock.NextTryMs);
    }

    [Fact]
    public void Entry_delivered_to_another_meanwhile_is_claimed_when_its_time_has_come()
    {
        Add(1);
        Do("XGROUP SETID s g 1-0");
        using var reader = Blocked("XREADGROUP GROUP g c BLOCK 0 CLAIM 100 STREAMS s >");
        Do("XGROUP SETID s g 0");
        Do("XREADGROUP GROUP g a STREAMS s >");

        Move(60);
        Do("XCLAIM s g b 0 1-0");
        Move(99);
        Assert.False(reader.HasInput);
        Move(1);

        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :100 :2]]]]", Reply(reader));
    }

    [Theory]
    [InlineData("XCLAIM s g b 0 1-0 IDLE 5000", ":5000 :2")]
    [InlineData("XCLAIM s g b 0 2-0 FORCE IDLE 5000", ":5000 :2")]
    public void Claim_that_makes_an_entry_older_serves_who_waits(string command, string shown)
    {
        Add(2);
        Do("XREADGROUP GROUP g a COUNT 1 STREAMS s >");
        Do("XGROUP SETID s g 2-0");
        using var reader = Blocked("XREADGROUP GROUP g c BLOCK 0 CLAIM 1000 STREAMS s >");

        Do(command);

        Assert.EndsWith($"{shown}]]]]", Reply(reader), StringComparison.Ordinal);
    }

    [Fact]
    public void Entry_handed_back_serves_who_waits_however_patient()
    {
        Add(1);
        Do("XREADGROUP GROUP g a STREAMS s >");
        using var reader = Blocked("XREADGROUP GROUP g c BLOCK 0 CLAIM 1000000 STREAMS s >");

        Do("XNACK s g SILENT IDS 1 1-0");

        // Idle since 1970, and never delivered.
        var idleMs = _time.GetUtcNow().ToUnixTimeMilliseconds();
        Assert.Equal($"*[*[$s *[*[$1-0 *[$f $v] :{idleMs} :0]]]]", Reply(reader));
        Assert.Equal("*[*[$1-0 $c :0 :1]]", Ask("XPENDING s g - + 10"));
    }

    [Fact]
    public void Reader_that_does_not_claim_hides_nobody_behind_it()
    {
        Add(1);
        Do("XREADGROUP GROUP g a STREAMS s >");
        using var plain = Blocked("XREADGROUP GROUP g p BLOCK 0 STREAMS s >");
        using var patient = Blocked("XREADGROUP GROUP g c BLOCK 0 CLAIM 5000 STREAMS s >");
        using var first = Blocked("XREADGROUP GROUP g d BLOCK 0 COUNT 1 CLAIM 1000 STREAMS s >");
        using var second = Blocked("XREADGROUP GROUP g e BLOCK 0 COUNT 1 CLAIM 1000 STREAMS s >");

        Move(1000);
        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :1000 :1]]]]", Reply(first));
        Assert.False(second.HasInput);
        Do("XCLAIM s g d 0 1-0 IDLE 2000");
        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :2000 :3]]]]", Reply(second));

        Do("XADD s 2-0 f v");
        Assert.Equal("*[*[$s *[*[$2-0 *[$f $v]]]]]", Reply(plain));
        Move(5000);
        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :5000 :4] *[$2-0 *[$f $v] :5000 :1]]]]", Reply(patient));
    }

    [Fact]
    public void Wait_in_another_database_ends_there()
    {
        using var reader = new RawConnection(_server.Endpoint);
        foreach (var command in (string[])["SELECT 3", "XADD s 1-0 f v", "XGROUP CREATE s g 0", "XREADGROUP GROUP g a STREAMS s >"])
            reader.Exchange(command);
        reader.Send(new Command("XREADGROUP GROUP g c BLOCK 0 CLAIM 100 STREAMS s >".Split(' ')));
        WaitForBlocked(1);

        Move(100);

        Assert.Equal("*[*[$s *[*[$1-0 *[$f $v] :100 :1]]]]", Reply(reader));
    }

    [Fact]
    public void Wait_ends_empty_when_its_time_is_over_first()
    {
        Add(1);
        Do("XREADGROUP GROUP g a STREAMS s >");
        using var reader = Blocked("XREADGROUP GROUP g c BLOCK 50 CLAIM 100 STREAMS s >");

        Move(50);

        Assert.Equal("*-1", Reply(reader));
        Assert.Equal(long.MaxValue, _store.BlockedNeedsLock.NextTryMs);
        Move(100);
        Assert.Equal("*[*[$1-0 $a :150 :1]]", Ask("XPENDING s g - + 10"));
    }

    private string Do(string command) => _client.Exchange(command);

    private string Ask(string command) => _client.Ask(command.Split(' ')).ToString();

    private static string Reply(RawConnection connection) => RespNode.Parse(connection.Read()).ToString();

    private void Move(int milliseconds) => _time.Move(TimeSpan.FromMilliseconds(milliseconds));

    private void Add(int count)
    {
        for (var i = 1; i <= count; i++)
            Do($"XADD s {i}-0 f v");
    }

    private RawConnection Blocked(string command)
    {
        var connection = new RawConnection(_server.Endpoint);
        var count = _store.CountWaiting();
        connection.Send(new Command(command.Split(' ')));
        WaitForBlocked(count + 1);
        return connection;
    }

    private void WaitForBlocked(int count) =>
        Assert.True(SpinWait.SpinUntil(() => _store.CountWaiting() == count, TimeSpan.FromSeconds(10)));
}
