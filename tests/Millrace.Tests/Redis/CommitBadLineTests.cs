using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>
/// Calls that take two trips, on a line that breaks between them. What ran in the first was said to have never been sent, and whoever settled by hand
/// was told that nothing was written.
/// </summary>
public sealed class CommitBadLineTests
{
    [Theory]
    [InlineData(ServerOfKind.Redis)]
    [InlineData(ServerOfKind.Millrace)]
    public async Task Commits_that_could_not_be_sent_one_by_one_say_so_and_their_neighbours_that_they_are_applied(string kind)
    {
        await using var server = await ServerOfKind.StartAsync(kind);
        await using var admin = StoreAt(server.Endpoint.Port);
        await admin.ExecuteAsync(["ACL", "SETUSER", "user", "on", ">secret", "~mine", "&*", "+@all"]);
        var id = await admin.AppendAsync("mine", EntryFields.Create(("v", "x")));
        await using var proxy = CuttingProxy.Start(server.Endpoint.Port);
        var options = OptionsFor(proxy.Port);
        (options.User, options.Password) = ("user", "secret");
        await using var store = new RedisStreamStore(options);
        await store.OpenAsync();
        Commit Append(string stream) => new() { Changes = [new CommitChange.Append(stream, EntryFields.Create(("v", "x")))] };

        // Two runs: what needs no memory has its own. The second is refused for the key of another user, and its commits are asked one by one.
        var results = await CutBetweenTripsAsync(
            admin,
            proxy,
            () => store.CommitAsync([new() { Changes = [new CommitChange.Delete("mine", id)] }, Append("mine"), Append("theirs")]).AsTask(),
            () => store.ExecuteAsync(["XREAD", "BLOCK", "0", "STREAMS", "mine", "$"]).AsTask());

        Assert.Equal([null, StreamErrorCode.Unavailable, StreamErrorCode.Unavailable], results.Select(result => result.Failure?.Code));
        Assert.True(results[0].IsApplied);
        Assert.Equal(0, (await admin.GetStreamInfoAsync("mine"))!.Length);
    }

    [Theory]
    [InlineData(true, StreamErrorCode.OutcomeUnknown)]
    [InlineData(false, StreamErrorCode.Unavailable)]
    public async Task Scripts_that_could_not_be_sent_again_have_an_unknown_outcome_only_where_others_ran(bool othersRan, StreamErrorCode expected)
    {
        await using var server = await RedisServer.StartAsync();
        await using var admin = StoreAt(server.Port);
        await using var proxy = CuttingProxy.Start(server.Port);
        await using var client = new RedisClient(OptionsFor(proxy.Port), TimeProvider.System, NullLogger.Instance);
        await client.ConnectAsync(default);
        await admin.OpenAsync();
        await server.CliAsync("SCRIPT", "FLUSH");
        List<(LuaScript, RespCommand)> calls = [(LuaScript.DeleteStream, LuaScript.DeleteStream.Call("s"))];
        if (othersRan)
            calls.Insert(0, (LuaScript.DeleteStream, new RespCommand("INCR").Add("n")));

        var failure = await Assert.ThrowsAsync<StreamException>(() => CutBetweenTripsAsync(
            admin,
            proxy,
            () => client.CallManyAsync(calls, default).AsTask(),
            () => client.ExecuteAsync(new RespCommand("XREAD").Add("BLOCK").Add("0").Add("STREAMS").Add("s").Add("$"), default).AsTask()));

        Assert.Equal(expected, failure.Code);
        Assert.Equal(othersRan ? "1" : "", await server.CliAsync("GET", "n"));
    }

    /// <summary>
    /// The call has the only place on the line. A read waits for it meanwhile, and keeps it, so that the second trip never leaves.
    /// </summary>
    private static async Task<T> CutBetweenTripsAsync<T>(RedisStreamStore admin, CuttingProxy proxy, Func<Task<T>> call, Func<Task> read)
    {
        await admin.ExecuteAsync(["CLIENT", "PAUSE", "60000", "WRITE"]);
        var calling = call();
        var reading = read();
        await admin.ExecuteAsync(["CLIENT", "UNPAUSE"]);
        await Eventually.TrueAsync("the first trip is over, and the read on the line", async () =>
            (await admin.ExecuteAsync(["CLIENT", "LIST"])).Text.Contains(" cmd=xread ", StringComparison.Ordinal));
        await proxy.DisposeAsync();

        Assert.Equal(StreamErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<StreamException>(() => reading)).Code);
        return await calling;
    }

    private static RedisOptions OptionsFor(int port) => new()
    {
        Host = "127.0.0.1",
        Port = port,
        MaxPipelinedCommands = 1,
        CommandTimeout = TimeSpan.FromMinutes(5), // Of the read, which has no answer.
    };

    private static RedisStreamStore StoreAt(int port) => new(new() { Host = "127.0.0.1", Port = port });
}
