using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Server.Streams;

/// <summary>XNACK, and how the other commands see what was handed back.</summary>
public sealed class NackCommandTests : ServerTest
{
    private const string BadId = "-ERR Invalid stream ID specified as stream command argument\r\n";
    private const string NotAnInteger = "-ERR value is not an integer or out of range\r\n";
    private const string BadCount = "-ERR numids must be a positive integer\r\n";

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        Do("XADD s 1-0 n 1", "XADD s 2-0 n 2", "XADD s 3-0 n 3", "XGROUP CREATE s g 0", "XREADGROUP GROUP g c COUNT 2 STREAMS s >");
    }

    [Theory]
    [InlineData("XNACK s g FAIL IDS 1", "-ERR wrong number of arguments for 'xnack' command\r\n")]
    [InlineData("XNACK text g MAYBE IDS 1 1-0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")]
    [InlineData("XNACK none g MAYBE IDS 1 1-0", "-NOGROUP No such key 'none' or consumer group 'g'\r\n")]
    [InlineData("XNACK s none MAYBE IDS 1 1-0", "-NOGROUP No such key 's' or consumer group 'none'\r\n")]
    [InlineData("XNACK s g MAYBE IDS 0 1-0", "-ERR mode must be SILENT, FAIL, or FATAL\r\n")]
    [InlineData("XNACK s g FAIL IDS 0 1-0", BadCount)]
    [InlineData("XNACK s g FAIL IDS x 1-0", BadCount)]
    [InlineData("XNACK s g FAIL IDS 2147483648 1-0", BadCount)]
    [InlineData("XNACK s g FAIL IDS 2 1-0", "-ERR number of IDs doesn't match numids\r\n")]
    [InlineData("XNACK s g FAIL IDS 1 bad", BadId)]
    [InlineData("XNACK s g FAIL IDS 2 1-0 bad", BadId)]
    [InlineData("XNACK s g FAIL IDS 1 bad FORCE RETRYCOUNT", "-ERR Unrecognized XNACK option 'RETRYCOUNT'\r\n")]
    [InlineData("XNACK s g FAIL FATAL IDS 1 1-0", "-ERR Unrecognized XNACK option 'FATAL'\r\n")]
    [InlineData("XNACK s g FAIL IDS 1 1-0 2-0", "-ERR Unrecognized XNACK option '2-0'\r\n")]
    [InlineData("XNACK s g FAIL IDS 1 1-0 RETRYCOUNT x", NotAnInteger)]
    [InlineData("XNACK s g FAIL RETRYCOUNT -1 IDS 1 1-0", "-ERR Invalid RETRYCOUNT value, must be >= 0\r\n")]
    [InlineData("XNACK s g FAIL FORCE RETRYCOUNT 5", "-ERR syntax error, expected IDS keyword\r\n")]
    public void Bad_request_gets_its_error_and_changes_nothing(string command, string error)
    {
        Do("SET text 1");

        Assert.Equal(error, Client.Exchange(command));
        Assert.Contains("$1\r\nc\r\n$1\r\n2\r\n", Client.Exchange("XPENDING s g"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("XNACK s g SILENT IDS 1 1-0", 1, 0)]
    [InlineData("XNACK s g FAIL IDS 1 1-0", 1, 1)]
    [InlineData("XNACK s g FATAL IDS 1 1-0", 1, long.MaxValue)]
    [InlineData("XNACK s g silent ids 2 1-0 1-0", 2, 0)]
    [InlineData("XNACK s g FATAL RETRYCOUNT 42 IDS 2 1-0 9-0", 1, 42)]
    [InlineData("XNACK s g SILENT FORCE IDS 1 1-0 RETRYCOUNT 9223372036854775807", 1, long.MaxValue)]
    public void Mode_or_retry_count_sets_the_count_of_deliveries(string command, int released, long deliveries)
    {
        Assert.Equal($":{released}\r\n", Client.Exchange(command));
        Assert.Equal($"*1\r\n*4\r\n$3\r\n1-0\r\n$0\r\n\r\n:-1\r\n:{deliveries}\r\n", Client.Exchange("XPENDING s g - + 1"));
    }

    [Theory]
    [InlineData("XNACK s g FAIL IDS 1 3-0", ":0\r\n", "")]
    [InlineData("XNACK s g FAIL IDS 2 3-0 9-0 FORCE", ":1\r\n", ":0\r\n")]
    [InlineData("XNACK s g SILENT IDS 1 3-0 FORCE", ":1\r\n", ":0\r\n")]
    [InlineData("XNACK s g FATAL IDS 1 3-0 FORCE", ":1\r\n", ":9223372036854775807\r\n")]
    [InlineData("XNACK s g FATAL FORCE IDS 1 3-0 RETRYCOUNT 7", ":1\r\n", ":7\r\n")]
    public void Entry_that_is_not_pending_becomes_so_only_by_force(string command, string reply, string deliveries)
    {
        Assert.Equal(reply, Client.Exchange(command));
        Assert.Equal(
            deliveries.Length == 0 ? "*0\r\n" : $"*1\r\n*4\r\n$3\r\n3-0\r\n$0\r\n\r\n:-1\r\n{deliveries}", Client.Exchange("XPENDING s g 3 + 9"));
    }

    [Fact]
    public void Handed_back_entries_belong_to_the_group_and_to_no_consumer()
    {
        Do("XNACK s g FAIL IDS 1 1-0");

        Assert.Equal("*4\r\n:2\r\n$3\r\n1-0\r\n$3\r\n2-0\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n", Client.Exchange("XPENDING s g"));
        Assert.StartsWith("*1\r\n*4\r\n$3\r\n1-0\r\n$0\r\n\r\n:-1\r\n", Client.Exchange("XPENDING s g IDLE 99999999 - + 9"), StringComparison.Ordinal);
        Assert.StartsWith("*1\r\n*4\r\n$3\r\n2-0\r\n", Client.Exchange("XPENDING s g - + 9 c"), StringComparison.Ordinal);
        Assert.Equal("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n" + Entry(2), Client.Exchange("XREADGROUP GROUP g c STREAMS s 0"));
        Assert.Contains("$7\r\npending\r\n:2\r\n", Client.Exchange("XINFO GROUPS s"), StringComparison.Ordinal);
        Assert.Contains("$7\r\npending\r\n:1\r\n", Client.Exchange("XINFO CONSUMERS s g"), StringComparison.Ordinal);
        var full = Client.Exchange("XINFO STREAM s FULL");
        Assert.Contains(
            "$9\r\npel-count\r\n:2\r\n$12\r\nnacked-count\r\n:1\r\n$7\r\npending\r\n*2\r\n*4\r\n$3\r\n1-0\r\n$0\r\n\r\n:0\r\n:1\r\n",
            full,
            StringComparison.Ordinal);
        Assert.Equal(":1\r\n", Client.Exchange("XGROUP DELCONSUMER s g c"));
        Assert.Equal("*4\r\n:1\r\n$3\r\n1-0\r\n$3\r\n1-0\r\n*0\r\n", Client.Exchange("XPENDING s g"));
        Assert.Equal(":1\r\n", Client.Exchange("XACK s g 1-0"));
        Assert.Contains("$12\r\nnacked-count\r\n:0\r\n", Client.Exchange("XINFO STREAM s FULL"), StringComparison.Ordinal);
    }

    /// <summary>New entries are what <c>></c> brings; what was handed back waits for a claim, which it never has to wait for.</summary>
    [Fact]
    public void Handed_back_entries_are_claimed_at_once_but_not_read_as_new()
    {
        Do("XNACK s g SILENT IDS 2 2-0 1-0");

        Assert.Equal("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n" + Entry(3), Client.Exchange("XREADGROUP GROUP g d STREAMS s >"));
        Assert.Equal("*1\r\n" + Entry(1), Client.Exchange("XCLAIM s g d 99999999 1-0 3-0"));
        Assert.Equal("*3\r\n$3\r\n0-0\r\n*1\r\n" + Entry(2) + "*0\r\n", Client.Exchange("XAUTOCLAIM s g d 99999999 0"));
        Assert.Matches(@"^\*3\r\n(\*4\r\n\$3\r\n.-0\r\n\$1\r\nd\r\n:\d+\r\n:1\r\n){3}$", Client.Exchange("XPENDING s g - + 9"));
    }

    [Fact]
    public void Group_read_claims_handed_back_entries_first_and_in_the_order_in_which_they_were()
    {
        Do("XREADGROUP GROUP g c STREAMS s >", "XNACK s g FAIL IDS 2 3-0 1-0", "XNACK s g FAIL IDS 1 3-0");

        foreach (var number in (int[])[1, 3])
            Assert.Contains($"$3\r\n{number}-0\r\n", Client.Exchange("XREADGROUP GROUP g d COUNT 1 CLAIM 99999999 STREAMS s >"), StringComparison.Ordinal);
        Assert.Equal("*-1\r\n", Client.Exchange("XREADGROUP GROUP g d COUNT 1 CLAIM 99999999 STREAMS s >"));
    }

    [Fact]
    public async Task Reader_that_waits_to_claim_gets_what_is_handed_back()
    {
        Do("XREADGROUP GROUP g c STREAMS s >");
        using var reader = Server.Connect();
        reader.Send(new Command("XREADGROUP GROUP g d BLOCK 0 CLAIM 99999999 STREAMS s >".Split(' ')));
        await Eventually.TrueAsync("the reader waits", () => new(Server.WaitingCount == 1));

        Do("XNACK s g FAIL IDS 2 2-0 1-0");

        var reply = reader.ReadText();
        Assert.Matches(@"^\*1\r\n\*2\r\n\$1\r\ns\r\n\*2\r\n\*4\r\n\$3\r\n2-0\r\n", reply);
        Assert.Contains("$3\r\n1-0\r\n", reply, StringComparison.Ordinal);
    }

    [Fact]
    public void Handed_back_entries_that_were_deleted_are_dropped_by_a_claim()
    {
        Do("XNACK s g FAIL IDS 2 1-0 2-0", "XDEL s 1-0 2-0");

        Assert.Equal("*0\r\n", Client.Exchange("XCLAIM s g d 0 1-0"));
        Assert.Equal("*3\r\n$3\r\n0-0\r\n*0\r\n*1\r\n$3\r\n2-0\r\n", Client.Exchange("XAUTOCLAIM s g d 0 0"));
        Assert.Equal("*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", Client.Exchange("XPENDING s g"));
    }

    private static string Entry(int number) => $"*2\r\n$3\r\n{number}-0\r\n*2\r\n$1\r\nn\r\n$1\r\n{number}\r\n";

    private void Do(params string[] commands)
    {
        foreach (var command in commands)
            Assert.False(Client.Exchange(command).StartsWith('-'), command);
    }
}
