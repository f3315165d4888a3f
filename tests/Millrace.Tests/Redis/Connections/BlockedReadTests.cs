using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Connections;

public sealed class BlockedReadTests : IAsyncLifetime
{
    private static readonly TimeSpan LongBlock = TimeSpan.FromSeconds(60);

    private RedisServer _server = null!;
    private RedisClient _client = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await RedisServer.StartAsync();
        _client = new RedisClient(new RedisOptions { Host = "127.0.0.1", Port = _server.Port }, TimeProvider.System, NullLogger.Instance);
        await _client.ExecuteAsync(new RespCommand("XGROUP").Add("CREATE").Add("orders").Add("billing").Add("0").Add("MKSTREAM"), default);
    }

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Read_blocked_returns_the_entry_that_comes()
    {
        var reading = ReadAsync(default).AsTask();
        await UntilBlockedAsync(1);
        await AddAsync();

        var reply = await reading;

        foreach (var (stream, entries) in reply.Pairs)
        {
            Assert.Equal("orders", stream.Text);
            Assert.Equal("v", entries[0][1][1].Text);
        }
    }

    [Fact]
    public async Task Read_blocked_does_not_hold_up_commands()
    {
        var reading = ReadAsync(default).AsTask();
        await UntilBlockedAsync(1);

        Assert.Equal("PONG", (await _client.ExecuteAsync(new RespCommand("PING"), default)).Text);
        await AddAsync();
        await reading;
    }

    [Fact]
    public async Task Read_without_entries_returns_null_when_its_time_is_over()
    {
        var reply = await _client.ExecuteBlockingAsync(Read(TimeSpan.FromMilliseconds(20)), TimeSpan.FromMilliseconds(20), default);

        Assert.True(reply.IsNull);
    }

    [Fact]
    public async Task Read_cancelled_ends_at_once_and_leaves_its_connection_usable()
    {
        using var cancellation = new CancellationTokenSource();
        var reading = ReadAsync(cancellation.Token).AsTask();
        await UntilBlockedAsync(1);
        var connections = await CountConnectionsAsync();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.WaitAsync(TimeSpan.FromSeconds(30)));
        await AddAsync();
        var next = await ReadAsync(default);

        Assert.Equal(1, next.Count / (next.Kind == Millrace.Resp.RespKind.Map ? 2 : 1));
        Assert.Equal(connections, await CountConnectionsAsync());
    }

    [Fact]
    public async Task Reads_cancelled_while_entries_come_lose_none()
    {
        // Opens the connection, which a cancellation would otherwise do away with before the first read.
        const int Rounds = 300;
        Assert.True((await ReadAvailableAsync()).IsNull);
        var received = 0;
        for (var round = 0; round < Rounds; round++)
        {
            using var cancellation = new CancellationTokenSource();
            var reading = ReadAsync(cancellation.Token).AsTask();
            var adding = AddAsync();
            await cancellation.CancelAsync();
            await adding;
            try
            {
                received += Count(await reading);
            }
            catch (OperationCanceledException)
            {
                // Not delivered: the next read gets it.
            }
        }

        Assert.True(received > 0, "No read was answered, so nothing was raced.");
        while (await ReadAvailableAsync() is { IsNull: false } rest)
            received += Count(rest);

        Assert.Equal(Rounds, received);
        Assert.Equal(Rounds, (await _client.ExecuteAsync(new RespCommand("XPENDING").Add("orders").Add("billing"), default))[0].Integer);
    }

    [Fact]
    public async Task Reads_blocked_together_have_a_connection_each()
    {
        using var cancellation = new CancellationTokenSource();
        var readings = Enumerable.Range(0, 5).Select(_ => ReadAsync(cancellation.Token).AsTask()).ToArray();
        await UntilBlockedAsync(5);

        await cancellation.CancelAsync();

        foreach (var reading in readings)
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
    }

    private static int Count(RespReply reply)
    {
        var count = 0;
        foreach (var (_, entries) in reply.Pairs)
            count += entries.Count;
        return count;
    }

    private static RespCommand Read(TimeSpan block) => new RespCommand("XREADGROUP").Add("GROUP").Add("billing").Add("one")
        .Add("COUNT").Add(100).Add("BLOCK").Add((long)block.TotalMilliseconds).Add("STREAMS").Add("orders").Add(">");

    private ValueTask<RespReply> ReadAsync(CancellationToken cancellationToken) =>
        _client.ExecuteBlockingAsync(Read(LongBlock), LongBlock, cancellationToken);

    private ValueTask<RespReply> ReadAvailableAsync() =>
        _client.ExecuteBlockingAsync(Read(TimeSpan.FromMilliseconds(1)), TimeSpan.FromMilliseconds(1), default);

    private Task AddAsync() => _client.ExecuteAsync(new RespCommand("XADD").Add("orders").Add("*").Add("f").Add("v"), default).AsTask();

    private async Task<int> CountConnectionsAsync() =>
        (await _client.ExecuteAsync(new RespCommand("CLIENT").Add("LIST"), default)).Text
            .Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;

    // Asks until the server says so: only it knows when a read has arrived and blocks.
    private async Task UntilBlockedAsync(int count)
    {
        var expected = $"blocked_clients:{count.ToString(CultureInfo.InvariantCulture)}\r";
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            var info = await _client.ExecuteAsync(new RespCommand("INFO").Add("clients"), deadline.Token);
            if (info.Text.Contains(expected, StringComparison.Ordinal))
                return;
        }
    }
}
