using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Connections;

public sealed class SubscriptionTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("RESP3")]
    [InlineData("RESP2")]
    public async Task Subscription_receives_what_is_published_until_it_ends(string protocol)
    {
        await using var server = await RedisServer.StartAsync(protocol == "RESP2" ? ["--rename-command", "HELLO", ""] : []);
        await using var client = ClientOf(server);
        var received = Channel.CreateUnbounded<string>();

        await using (await client.SubscribeAsync(
            "news", message => received.Writer.TryWrite(Encoding.UTF8.GetString(message.Span)), default))
        {
            await PublishAsync(client, "one");
            Assert.Equal("one", await received.Reader.ReadAsync().AsTask().WaitAsync(Deadline));
        }

        await using var other = await client.SubscribeAsync("other", _ => { }, default);
        Assert.Equal(0, await PublishAsync(client, "two"));
    }

    [Fact]
    public async Task Subscription_outlives_a_restart_of_the_server()
    {
        await using var server = await RedisServer.StartAsync();
        await using var client = ClientOf(server);
        var received = Channel.CreateUnbounded<string>();
        await using var subscription = await client.SubscribeAsync(
            "news", message => received.Writer.TryWrite(Encoding.UTF8.GetString(message.Span)), default);

        await server.KillAsync();
        await server.StartAgainAsync();

        // PUBLISH answers how many received it: the server says when the subscription is back.
        using var deadline = new CancellationTokenSource(Deadline);
        while (await TryPublishAsync() == 0)
            deadline.Token.ThrowIfCancellationRequested();
        Assert.Equal("again", await received.Reader.ReadAsync(deadline.Token));

        async Task<long> TryPublishAsync()
        {
            try
            {
                return await PublishAsync(client, "again");
            }
            catch (StreamException exception) when (exception.Code == StreamErrorCode.OutcomeUnknown)
            {
                // Sent before the break was noticed.
                return 0;
            }
        }
    }

    [Fact]
    public async Task Subscription_without_a_server_says_so()
    {
        await using var server = await RedisServer.StartAsync();
        await using var client = ClientOf(server);
        await server.KillAsync();

        var exception = await Assert.ThrowsAsync<StreamException>(async () => await client.SubscribeAsync("news", _ => { }, default));

        Assert.Equal(StreamErrorCode.Unavailable, exception.Code);
    }

    private static RedisClient ClientOf(RedisServer server) => new(
        new RedisOptions { Host = "127.0.0.1", Port = server.Port, ReconnectDelay = TimeSpan.FromMilliseconds(5) },
        TimeProvider.System, NullLogger.Instance);

    private static async Task<long> PublishAsync(RedisClient client, string message) =>
        (await client.ExecuteAsync(new RespCommand("PUBLISH").Add("news").Add(message), default)).Integer;
}
