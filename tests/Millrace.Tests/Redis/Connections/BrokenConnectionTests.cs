using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Resp;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Connections;

/// <summary>What callers are told when the server dies, stops, or talks nonsense while commands are under way.</summary>
public sealed class BrokenConnectionTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    // Long enough for a loaded machine to answer within it, short enough to wait for.
    private static readonly TimeSpan ShortTimeout = TimeSpan.FromSeconds(1);

    private RedisServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await RedisServer.StartAsync("--enable-debug-command", "local");

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Command_after_a_restart_of_the_server_succeeds()
    {
        await using var client = ClientOf(_server.Port);
        await PingAsync(client);

        await _server.KillAsync();
        await _server.StartAgainAsync();

        // The first may have been sent before the break was noticed, which is then said; it is never lost in silence.
        try
        {
            await PingAsync(client);
        }
        catch (StreamException exception)
        {
            Assert.Equal(StreamErrorCode.OutcomeUnknown, exception.Code);
        }

        Assert.Equal("PONG", await PingAsync(client));
    }

    [Fact]
    public async Task Command_without_a_server_names_endpoint_and_attempts()
    {
        await using var client = ClientOf(_server.Port);
        await _server.KillAsync();

        var exception = await Assert.ThrowsAsync<StreamException>(async () => await client.ConnectAsync(default));

        Assert.Equal(StreamErrorCode.Unavailable, exception.Code);
        Assert.Contains($"127.0.0.1:{_server.Port}", exception.Message, StringComparison.Ordinal);
        Assert.Contains("3 attempts", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Server_that_comes_up_late_is_waited_for()
    {
        await _server.KillAsync();
        await using var client = ClientOf(_server.Port, options => options.ConnectAttempts = 1_000);
        var connecting = client.ConnectAsync(default).AsTask();

        await _server.StartAgainAsync();

        await connecting.WaitAsync(Deadline);
    }

    [Fact]
    public async Task Commands_sent_when_the_server_is_killed_have_an_unknown_outcome()
    {
        await using var client = ClientOf(_server.Port);
        await PingAsync(client);
        var sleeping = client.ExecuteAsync(new RespCommand("DEBUG").Add("SLEEP").Add(60), default).AsTask();
        var waiting = PingAsync(client);

        await _server.KillAsync();

        Assert.Equal(StreamErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<StreamException>(() => sleeping)).Code);
        Assert.Equal(StreamErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<StreamException>(() => waiting)).Code);
    }

    [Fact]
    public async Task Command_to_a_stopped_server_times_out_with_an_unknown_outcome_and_its_late_reply_reaches_nobody()
    {
        await using var client = ClientOf(_server.Port, options => options.CommandTimeout = ShortTimeout);
        await PingAsync(client);
        _server.Stop();

        var exception = await Assert.ThrowsAsync<StreamException>(
            async () => await client.ExecuteAsync(new RespCommand("ECHO").Add("late"), default));
        _server.Continue();

        Assert.Equal(StreamErrorCode.OutcomeUnknown, exception.Code);
        Assert.IsType<TimeoutException>(exception.InnerException);
        using var deadline = new CancellationTokenSource(Deadline);
        for (var i = 0; i < 100; i++)
            Assert.Equal(i.ToString(CultureInfo.InvariantCulture), await EchoUntilAnsweredAsync(client, i, deadline.Token));
    }

    [Fact]
    public async Task Blocked_read_on_a_stopped_server_ends_when_its_wait_and_the_time_limit_are_over()
    {
        await using var client = ClientOf(_server.Port, options => options.CommandTimeout = ShortTimeout);
        var block = TimeSpan.FromMilliseconds(100);
        var read = new RespCommand("XREAD").Add("BLOCK").Add(100).Add("STREAMS").Add("orders").Add("$");
        Assert.True((await client.ExecuteBlockingAsync(read, block, default)).IsNull);
        await PingAsync(client);
        _server.Stop();

        var exception = await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteBlockingAsync(read, block, default));
        _server.Continue();

        Assert.Equal(StreamErrorCode.OutcomeUnknown, exception.Code);
    }

    [Fact]
    public async Task Callers_above_the_bound_wait_and_are_served_in_order()
    {
        await using var client = ClientOf(_server.Port, options => options.MaxPipelinedCommands = 2);
        await PingAsync(client);
        _server.Stop();
        var echoes = Enumerable.Range(0, 50).Select(i => client.ExecuteAsync(new RespCommand("ECHO").Add(i), default).AsTask()).ToArray();
        using var cancellation = new CancellationTokenSource();
        var inLine = client.ExecuteAsync(new RespCommand("SET").Add("k").Add("v"), cancellation.Token).AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => inLine);
        _server.Continue();

        for (var i = 0; i < echoes.Length; i++)
            Assert.Equal(i.ToString(CultureInfo.InvariantCulture), (await echoes[i]).Text);
        Assert.True((await client.ExecuteAsync(new RespCommand("GET").Add("k"), default)).IsNull);
    }

    public static TheoryData<string> Nonsense => new()
    {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "$9999999999\r\n",
        "$70000000\r\n",
        "*2147483647\r\n",
        string.Concat(Enumerable.Repeat("*1\r\n", 100)),
        "\0\0\0\0",
        "$2\r\nabc\r\n",
        new string('+', 1) + new string('a', 70_000),
    };

    [Theory]
    [MemberData(nameof(Nonsense))]
    public async Task Server_that_talks_nonsense_costs_the_connection_and_nothing_else(string wire)
    {
        await using var proxy = CuttingProxy.Start(_server.Port);
        await using var client = ClientOf(proxy.Port);
        await PingAsync(client);
        var held = proxy.HoldRepliesAsync();
        var sent = client.ExecuteAsync(new RespCommand("ECHO").Add("x"), default).AsTask();
        await held;

        await proxy.InjectAsync(Encoding.UTF8.GetBytes(wire));

        var exception = await Assert.ThrowsAsync<StreamException>(() => sent.WaitAsync(Deadline));
        Assert.Equal(StreamErrorCode.OutcomeUnknown, exception.Code);
        Assert.IsType<RespException>(exception.InnerException);
        Assert.Equal("PONG", await PingAsync(client));
    }

    [Fact]
    public async Task Reply_cut_at_any_byte_is_no_reply()
    {
        await using var proxy = CuttingProxy.Start(_server.Port);
        await using var client = ClientOf(proxy.Port);
        var reply = Encoding.UTF8.GetBytes("*2\r\n$1\r\na\r\n:1\r\n");
        for (var length = 0; length < reply.Length; length++)
        {
            await PingAsync(client);
            var held = proxy.HoldRepliesAsync();
            var sent = client.ExecuteAsync(new RespCommand("ECHO").Add("x"), default).AsTask();
            await held;
            await proxy.InjectAsync(reply.AsMemory(0, length));
            proxy.Cut();

            Assert.Equal(StreamErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<StreamException>(() => sent.WaitAsync(Deadline))).Code);
        }
    }

    [Fact]
    public async Task Reply_nobody_asked_for_costs_the_connection_and_not_the_next_command()
    {
        await using var proxy = CuttingProxy.Start(_server.Port);
        await using var client = ClientOf(proxy.Port);
        await PingAsync(client);
        var held = proxy.HoldRepliesAsync();
        var sent = client.ExecuteAsync(new RespCommand("ECHO").Add("x"), default).AsTask();
        await held;
        await proxy.InjectAsync(Encoding.UTF8.GetBytes("+first\r\n+second\r\n"));

        Assert.Equal("first", (await sent).Text);
        try
        {
            await PingAsync(client);
        }
        catch (StreamException exception)
        {
            // Sent before the second reply came: it fails with the connection, not when its time is over.
            Assert.IsType<RespException>(exception.InnerException);
        }

        Assert.Equal("PONG", await PingAsync(client));
    }

    [Fact]
    public async Task Command_cancelled_after_it_was_sent_does_not_shift_the_replies_of_others()
    {
        await using var client = ClientOf(_server.Port);
        await PingAsync(client);
        _server.Stop();
        using var cancellation = new CancellationTokenSource();
        var cancelled = client.ExecuteAsync(new RespCommand("ECHO").Add("cancelled"), cancellation.Token).AsTask();
        var other = client.ExecuteAsync(new RespCommand("ECHO").Add("other"), default).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        var later = client.ExecuteAsync(new RespCommand("ECHO").Add("later"), default).AsTask();
        _server.Continue();

        Assert.Equal("other", (await other).Text);
        Assert.Equal("later", (await later).Text);
        Assert.Equal("PONG", await PingAsync(client));
    }

    [Fact]
    public async Task Client_closed_refuses_with_Closed()
    {
        var client = ClientOf(_server.Port);
        await PingAsync(client);
        await client.DisposeAsync();

        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => PingAsync(client))).Code);
    }

    private static async Task<string> PingAsync(RedisClient client) => (await client.ExecuteAsync(new RespCommand("PING"), default)).Text;

    private static async Task<string> EchoUntilAnsweredAsync(RedisClient client, int value, CancellationToken deadline)
    {
        while (true)
        {
            deadline.ThrowIfCancellationRequested();
            try
            {
                return (await client.ExecuteAsync(new RespCommand("ECHO").Add(value), deadline)).Text;
            }
            catch (StreamException exception) when (exception.IsTransient)
            {
                // The break was not noticed yet, or a slow machine ran into the short time limit.
            }
        }
    }

    private static RedisClient ClientOf(int port, Action<RedisOptions>? configure = null)
    {
        var options = new RedisOptions
        {
            Host = "127.0.0.1",
            Port = port,
            ConnectAttempts = 3,
            ConnectTimeout = TimeSpan.FromSeconds(20),
            CommandTimeout = TimeSpan.FromSeconds(20),
            ReconnectDelay = TimeSpan.FromMilliseconds(2),
            MaxReconnectDelay = TimeSpan.FromMilliseconds(50),
        };
        configure?.Invoke(options);
        return new(options, TimeProvider.System, NullLogger.Instance);
    }
}
