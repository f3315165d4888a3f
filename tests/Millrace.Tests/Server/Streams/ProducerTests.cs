using Millrace.Embedded;
using Millrace.Server;
using Millrace.Tests.Differential;
using Millrace.Tests.Embedded;

namespace Millrace.Tests.Server.Streams;

/// <summary>XADD with IDMP and IDMPAUTO, XCFGSET and XIDMPRECORD, as Redis 8.6 and later answer them.</summary>
public sealed class ProducerTests : IAsyncLifetime
{
    private const string BadId = "-ERR Invalid stream ID specified as stream command argument\r\n";

    private readonly ManualTime _time = new();
    private readonly EmbeddedStreamStore _store;
    private readonly RespServer _server;
    private RawConnection _client = null!;

    public ProducerTests()
    {
        _store = new(new(), _time);
        _server = new(_store, new() { Port = 0 });
    }

    public async ValueTask InitializeAsync()
    {
        await _server.StartAsync(TestContext.Current.CancellationToken);
        _client = new(_server.Endpoint);
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
        await _store.DisposeAsync();
    }

    [Theory]
    [InlineData("XADD s IDMP p * f v", BadId)]
    [InlineData("XADD s IDMP p", "-ERR wrong number of arguments for 'xadd' command\r\n")]
    [InlineData("XADD s NOMKSTREAM MAXLEN 1 IDMPAUTO", BadId)]
    [InlineData("XADD s IDMP p i 1-1 f v", "-ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs\r\n")]
    [InlineData("XADD s IDMPAUTO p 1-* f v", "-ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs\r\n")]
    [InlineData("XADD s IDMP p i IDMP q j * f v", "-ERR syntax error, IDMP/IDMPAUTO specified multiple times\r\n")]
    [InlineData("XADD s idmpauto p idmp q j * f v", "-ERR syntax error, IDMP/IDMPAUTO specified multiple times\r\n")]
    [InlineData("XADD s IDMP  i * f v", "-ERR syntax error, IDMP requires a non-empty producer ID\r\n")]
    [InlineData("XADD s IDMP p  * f v", "-ERR syntax error, IDMP requires a non-empty idempotent ID\r\n")]
    [InlineData("XADD s IDMPAUTO  * f v", "-ERR syntax error, IDMPAUTO requires a non-empty producer ID\r\n")]
    [InlineData("XADD s IDMP p i * f", "-ERR wrong number of arguments for 'xadd' command\r\n")]
    [InlineData("XADD s IDMP p i NOMKSTREAM * f v", "$-1\r\n")]
    [InlineData("XCFGSET s", "-ERR At least one parameter must be specified\r\n")]
    [InlineData("XCFGSET s IDMP-DURATION", "-ERR syntax error\r\n")]
    [InlineData("XCFGSET s FOO 1", "-ERR syntax error\r\n")]
    [InlineData("XCFGSET s IDMP-DURATION x IDMP-MAXSIZE", "-ERR value is not an integer or out of range\r\n")]
    [InlineData("XCFGSET s IDMP-DURATION 0", "-ERR IDMP-DURATION must be between 1 and 86400 seconds\r\n")]
    [InlineData("XCFGSET s IDMP-DURATION 86401", "-ERR IDMP-DURATION must be between 1 and 86400 seconds\r\n")]
    [InlineData("XCFGSET s IDMP-MAXSIZE -1", "-ERR IDMP-MAXSIZE must be between 1 and 10000 entries\r\n")]
    [InlineData("XCFGSET s IDMP-MAXSIZE 10001", "-ERR IDMP-MAXSIZE must be between 1 and 10000 entries\r\n")]
    [InlineData("XCFGSET s IDMP-DURATION 5", "-ERR no such key\r\n")]
    [InlineData("XIDMPRECORD s  i 1-1", "-ERR producer ID must be non-empty\r\n")]
    [InlineData("XIDMPRECORD s p  1-1", "-ERR idempotent ID must be non-empty\r\n")]
    [InlineData("XIDMPRECORD s p i x", BadId)]
    [InlineData("XIDMPRECORD s p i 1-1", "-ERR no such key\r\n")]
    public void Refused_call_says_why_and_makes_no_stream(string command, string reply)
    {
        Assert.Equal(reply, Do(command));
        Assert.Equal("+none\r\n", Do("TYPE s"));
    }

    [Theory]
    [InlineData("XADD t IDMP p i * f v")]
    [InlineData("XCFGSET t IDMP-DURATION 5")]
    [InlineData("XIDMPRECORD t p i 1-1")]
    public void Key_of_another_type_is_refused(string command)
    {
        Do("SET t x");

        Assert.StartsWith("-WRONGTYPE ", Do(command), StringComparison.Ordinal);
    }

    [Fact]
    public void Message_sent_again_gets_the_first_id_even_when_its_entry_is_gone()
    {
        var first = Do("XADD s MAXLEN ~ 100 IDMP p i * f v");

        Assert.Equal(first, Do("XADD s IDMP p i KEEPREF MAXLEN ~ 9 * other fields"));
        Assert.NotEqual(first, Do("XADD s IDMP q i * f v"));
        Assert.NotEqual(first, Do("XADD s IDMP p I * f v"));
        Assert.NotEqual(first, Do("XADD s * f v"));
        Assert.Equal(":4\r\n", Do("XLEN s"));

        Do("XTRIM s MAXLEN 0");
        Assert.Equal(first, Do("XADD s IDMP p i * f v"));
        Assert.Equal(":0\r\n", Do("XLEN s"));
        Assert.Equal((100, 100, 2, 3, 3, 2), Counters());
    }

    [Fact]
    public void Message_without_an_id_is_known_by_its_pairs_in_any_order()
    {
        var first = Do("XADD s IDMPAUTO p * a 1 b 2");

        Assert.Equal(first, Do("XADD s IDMPAUTO p * b 2 a 1"));
        Assert.NotEqual(first, Do("XADD s IDMPAUTO p * a 2 b 1"));
        Assert.NotEqual(first, Do("XADD s IDMPAUTO q * a 1 b 2"));
        Assert.Equal((100, 100, 2, 3, 3, 1), Counters());
    }

    [Fact]
    public void Id_is_forgotten_when_its_time_is_over()
    {
        Do("XADD s IDMP p i * f v");
        Do("XCFGSET s IDMP-DURATION 2");
        var first = Do("XADD s IDMP p i * f v");

        _time.Move(TimeSpan.FromSeconds(2));
        Assert.Equal(first, Do("XADD s IDMP p i * f v"));
        _time.Move(TimeSpan.FromMilliseconds(1));
        Assert.Equal((2, 100, 0, 0, 2, 1), Counters());
        Assert.NotEqual(first, Do("XADD s IDMP p i * f v"));
    }

    [Fact]
    public void Only_a_real_change_of_the_limits_forgets_the_ids()
    {
        var first = Do("XADD s IDMP p i * f v");

        Assert.Equal("+OK\r\n", Do("XCFGSET s IDMP-DURATION 100 idmp-maxsize 100"));
        Assert.Equal(first, Do("XADD s IDMP p i * f v"));
        Assert.Equal("+OK\r\n", Do("XCFGSET s IDMP-MAXSIZE 5 IDMP-MAXSIZE 1"));
        Assert.Equal((100, 1, 0, 0, 1, 1), Counters());
        Assert.NotEqual(first, Do("XADD s IDMP p i * f v"));
        Do("XADD s IDMP p j * f v");
        Assert.Equal((100, 1, 1, 1, 3, 1), Counters());
    }

    [Fact]
    public void New_stream_takes_its_limits_from_the_settings()
    {
        Do("XADD old * f v");
        Do("CONFIG SET stream-idmp-duration 7 stream-idmp-maxsize 9");
        Do("XADD s * f v");

        Assert.Equal((7, 9, 0, 0, 0, 0), Counters());
        Assert.Equal((100, 100, 0, 0, 0, 0), Counters("old"));
        Do("COPY s copy");
        Do("CONFIG SET stream-idmp-duration 8");
        Assert.Equal((7, 9, 0, 0, 0, 0), Counters("copy"));
    }

    [Fact]
    public void Recorded_message_is_found_by_the_next_append()
    {
        Do($"XADD s {_time.GetUtcNow().ToUnixTimeMilliseconds()}-7 f v");
        var id = $"{_time.GetUtcNow().ToUnixTimeMilliseconds()}-7";

        Assert.Equal("-ERR No such message in stream\r\n", Do("XIDMPRECORD s p i 1-1"));
        Assert.Equal("+OK\r\n", Do($"XIDMPRECORD s p i {id}"));
        Assert.Equal("+OK\r\n", Do($"XIDMPRECORD s p i {id}"));
        Do("XADD s * f v");
        Assert.Equal(
            "-ERR IID already exists for this producer with a different stream ID\r\n",
            Do($"XIDMPRECORD s p i {_time.GetUtcNow().ToUnixTimeMilliseconds()}-8"));
        Assert.EndsWith($"{id}\r\n", Do("XADD s IDMP p i * f v"), StringComparison.Ordinal);
        Assert.Equal((100, 100, 1, 1, 1, 1), Counters());
    }

    [Fact]
    public void Repetition_counts_as_a_change_for_a_transaction_that_watches()
    {
        using var other = new RawConnection(_server.Endpoint);
        Do("XADD s IDMP p i * f v");
        Do("WATCH s");
        other.Exchange("XADD s IDMP p i * f v");
        Do("MULTI");
        Do("XLEN s");

        Assert.Equal("*-1\r\n", Do("EXEC"));
    }

    private string Do(string command) => _client.Exchange(command);

    private (long DurationSeconds, long MaxSize, long Producers, long Ids, long Added, long Repeated) Counters(string stream = "s")
    {
        var info = _client.Ask("XINFO", "STREAM", stream);
        return (
            Number("idmp-duration"), Number("idmp-maxsize"), Number("pids-tracked"),
            Number("iids-tracked"), Number("iids-added"), Number("iids-duplicates"));

        long Number(string name) => long.Parse(info.Find(name)!.Text, System.Globalization.CultureInfo.InvariantCulture);
    }
}
