using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Resp;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Connections;

public sealed class RedisClientTests : IAsyncLifetime
{
    private RedisServer _server = null!;
    private RedisClient _client = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await RedisServer.StartAsync();
        _client = new RedisClient(new RedisOptions { Host = "127.0.0.1", Port = _server.Port }, TimeProvider.System, NullLogger.Instance);
    }

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Command_simple_is_answered()
    {
        var reply = await _client.ExecuteAsync(new RespCommand("PING"), default);

        Assert.Equal(RespKind.SimpleString, reply.Kind);
        Assert.Equal("PONG", reply.Text);
    }

    /// <summary>A caller goes on with the thread that received its reply; the read loop must have left that thread.</summary>
    [Fact]
    public async Task Caller_that_blocks_after_its_reply_holds_up_no_other()
    {
        for (var i = 0; i < 100; i++)
            Assert.True(await Task.Run(BlockUntilAnotherIsAnsweredAsync));
    }

    private async Task<bool> BlockUntilAnotherIsAnsweredAsync()
    {
        var answered = new ManualResetEventSlim();
        await _client.ExecuteAsync(new RespCommand("PING"), default).ConfigureAwait(false);
        _ = SetWhenAnsweredAsync(answered);
        return answered.Wait(Eventually.Deadline);
    }

    private async Task SetWhenAnsweredAsync(ManualResetEventSlim answered)
    {
        await _client.ExecuteAsync(new RespCommand("PING"), default).ConfigureAwait(false);
        answered.Set();
    }

    [Fact]
    public async Task Commands_of_many_callers_get_their_own_replies()
    {
        await Parallel.ForEachAsync(Enumerable.Range(0, 5_000), new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (i, token) =>
        {
            var reply = await _client.ExecuteAsync(new RespCommand("ECHO").Add(i), token);
            Assert.Equal(i.ToString(CultureInfo.InvariantCulture), reply.Text);
        });
    }

    [Fact]
    public async Task Commands_together_keep_errors_as_replies()
    {
        var replies = await _client.ExecuteManyAsync(
            [new RespCommand("SET").Add("k").Add("v"), new RespCommand("LPUSH").Add("k").Add("v"), new RespCommand("GET").Add("k")],
            default);

        Assert.Equal("OK", replies[0].Text);
        Assert.True(replies[1].IsError);
        Assert.Equal("WRONGTYPE"u8, replies[1].ErrorCode);
        Assert.Equal("v", replies[2].Text);
    }

    [Fact]
    public async Task Command_refused_throws_by_code()
    {
        await _client.ExecuteAsync(new RespCommand("SET").Add("k").Add("v"), default);

        var exception = await Assert.ThrowsAsync<StreamException>(
            async () => await _client.ExecuteAsync(new RespCommand("LPUSH").Add("k").Add("v"), default));

        Assert.Equal(StreamErrorCode.WrongType, exception.Code);
    }
}
