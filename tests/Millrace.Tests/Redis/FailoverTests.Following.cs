using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis.Connections;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>Connections that no refusal drives away.</summary>
public sealed partial class FailoverTests
{
    /// <summary>The old primary refuses no read and answers with what it had.</summary>
    [Theory]
    [InlineData(Reading.LongRange, "refused")]
    [InlineData(Reading.LongRange, "broken")]
    [InlineData(Reading.Read, "refused")]
    [InlineData(Reading.Read, "broken")]
    [InlineData(Reading.BlockedRead, "refused")]
    [InlineData(Reading.BlockedRead, "broken")]
    public async Task Reads_follow_the_writes_whose_connection_was_refused_or_broken(Reading reading, string connection)
    {
        await using var store = StoreAt(_name.Port);
        await MakeAsync(store, Call.Append);
        Assert.Equal(1, await CountAsync(store, reading));
        await Eventually.TrueAsync("the other one has it", async () => await _new.CliAsync("XLEN", "out") == "1");
        var id = (await store.ExecuteAsync(["CLIENT", "ID"])).Integer;

        await FailOverApartAsync();
        if (connection == "broken")
            await _old.CliAsync("CLIENT", "KILL", "ID", id.ToString(CultureInfo.InvariantCulture));
        await WhenServedAsync(() => MakeAsync(store, Call.Append));

        Assert.Equal(2, await CountAsync(store, reading));
    }

    /// <summary>Its connections stay when it becomes the primary, so that no refusal makes the shared one anew.</summary>
    [Fact]
    public async Task Reads_follow_the_writes_to_a_server_that_becomes_the_primary_later()
    {
        var time = new ManualTimeProvider();
        var (pause, longest) = (TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5));
        await using var follower = ClientAt(_name.Port, time, pause, longest);
        await using var client = new RedisClient(OptionsOf(_name.Port, pause, longest), time, NullLogger.Instance) { Follower = follower };
        await client.ExecuteAsync(Append, default);
        Assert.Equal((1, 1), (await CountAsync(client), await LengthAsync(follower)));
        await Eventually.TrueAsync("the other one has it", async () => await _new.CliAsync("XLEN", "out") == "1");

        _name.LeadTo(_new);
        var id = (await client.ExecuteAsync(new RespCommand("CLIENT").Add("ID"), default)).Integer;
        await _old.CliAsync("CLIENT", "KILL", "ID", id.ToString(CultureInfo.InvariantCulture));
        for (var look = 1; look <= 5; look++)
        {
            time.Advance(longest);
            await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Append, default));
        }

        // By now the pause is 400 ms at least.
        time.Advance(TimeSpan.FromMilliseconds(300));
        await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Append, default));
        await ChangeRolesApartAsync();
        await client.ExecuteAsync(Append, default);

        Assert.Equal((2, 2), (await CountAsync(client), await LengthAsync(follower)));
    }

    /// <summary>A connection that is slow to be made was led to the old server, and comes after the others were told to follow.</summary>
    [Theory]
    [InlineData(Reading.LongRange)]
    [InlineData(Reading.BlockedRead)]
    public async Task Read_whose_connection_is_being_made_follows_the_writes(Reading reading)
    {
        await using var follower = ClientAt(_name.Port);
        await using var client = ClientAt(_name.Port, follower);
        await client.ExecuteAsync(Append, default);

        var count = await FailOverAmidAsync(client, () => reading == Reading.BlockedRead ? CountAsync(client) : LengthAsync(follower));

        Assert.Equal(2, await count);
    }

    [Fact]
    public async Task Subscription_whose_connection_is_being_made_follows_the_writes()
    {
        await using var client = ClientAt(_name.Port);
        await client.ExecuteAsync(Append, default);

        var subscribing = await FailOverAmidAsync(client, () => client.SubscribeAsync("news", _ => { }, default).AsTask());

        Assert.Equal(StreamErrorCode.Unavailable, (await Assert.ThrowsAsync<StreamException>(() => subscribing)).Code);
        await using var subscription = await client.SubscribeAsync("news", _ => { }, default);
        Assert.Equal("1", await _new.CliAsync("PUBLISH", "news", "x"));
    }

    [Fact]
    public async Task Subscription_follows_the_writes()
    {
        await using var client = ClientAt(_name.Port);
        await client.ExecuteAsync(Set, default);
        var received = new TaskCompletionSource();
        await using var subscription = await client.SubscribeAsync("news", _ => received.TrySetResult(), default);

        await FailOverApartAsync();
        await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Set, default));
        await client.ExecuteAsync(Set, default);

        await Eventually.TrueAsync("it is at the new one", async () => await _new.CliAsync("PUBLISH", "news", "x") == "1");
        await received.Task.WaitAsync(Eventually.Deadline);
    }

    /// <summary>The refusals before that had found the old one again, and the last of them came in the pause that follows a look.</summary>
    [Fact]
    public async Task Subscription_follows_the_writes_whose_connection_broke_after_a_refusal()
    {
        var time = new ManualTimeProvider();
        var longest = TimeSpan.FromSeconds(5);
        await using var client = ClientAt(_name.Port, time, TimeSpan.FromMilliseconds(100), longest);
        await client.ExecuteAsync(Set, default);
        await using var subscription = await client.SubscribeAsync("news", _ => { }, default);
        await ChangeRolesApartAsync();
        for (var look = 1; look <= 5; look++)
        {
            time.Advance(longest);
            await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Set, default));
        }

        // By now the pause is 400 ms at least, and the subscription was made anew after 100 ms at most.
        time.Advance(TimeSpan.FromMilliseconds(200));
        await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Set, default));
        await WhenSubscribedAsync(_old);
        await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Set, default));
        var id = (await client.ExecuteAsync(new RespCommand("CLIENT").Add("ID"), default)).Integer;
        _name.LeadTo(_new);
        await _old.CliAsync("CLIENT", "KILL", "ID", id.ToString(CultureInfo.InvariantCulture));
        time.Advance(TimeSpan.FromMilliseconds(100));
        await WhenServedAsync(async () => await client.ExecuteAsync(Set, default));

        await WhenSubscribedAsync(_new);

        Task WhenSubscribedAsync(RedisServer server) => Eventually.TrueAsync("it is at that server", async () =>
        {
            time.Advance(TimeSpan.FromMilliseconds(1));
            return await server.CliAsync("PUBLISH", "news", "x") == "1";
        });
    }

    /// <summary>
    /// Begins a call that has to connect and is led to the old server, which hangs; meanwhile a write is refused, and an append is served by the new one.
    /// </summary>
    private async Task<Task<T>> FailOverAmidAsync<T>(RedisClient client, Func<Task<T>> call)
    {
        await Eventually.TrueAsync("the other one has it", async () => await _new.CliAsync("XLEN", "out") == "1");
        await ChangeRolesApartAsync();
        var held = _name.HoldRepliesAsync();
        var refused = client.ExecuteAsync(Append, default).AsTask();
        await held;
        _old.Stop();
        var connecting = call();
        await Eventually.TrueAsync("its connection is begun", () => new(_name.LinkedCount == 2));
        _name.LeadTo(_new);
        await _name.InjectAsync("-READONLY You can't write against a read only replica.\r\n"u8.ToArray());
        await Assert.ThrowsAsync<StreamException>(() => refused);
        await client.ExecuteAsync(Append, default);
        _old.Continue();
        return connecting;
    }

    private static async Task<int> CountAsync(RedisClient client) =>
        (await client.ExecuteBlockingAsync(
            new RespCommand("XREAD").Add("BLOCK").Add(1).Add("STREAMS").Add("out").Add("0"), TimeSpan.FromMilliseconds(1), default))[1].Count;

    private static async Task<int> LengthAsync(RedisClient client) => (int)(await client.ExecuteAsync(new RespCommand("XLEN").Add("out"), default)).Integer;
}
