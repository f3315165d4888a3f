using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EventSourcing;

/// <summary>Categories on a real cluster, of one node: it refuses commits across slots as one of many does.</summary>
public sealed class ClusterCategoryTests
{
    [Fact]
    public async Task Category_with_a_tag_is_kept_and_one_without_is_refused_with_what_to_do()
    {
        await using var redis = await StartClusterAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(redis.Endpoint));
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddEventStore(o => o.AddCategory("points").AddCategory("{purse}:all")), store);
        var events = host.Host.Services.GetRequiredService<EventStore>();

        await events.AppendAsync("{purse}:all-17", ExpectedVersion.NoStream, [new PointsEarned(1, "test")], new() { CommandId = "c1" });
        await events.AppendAsync("{purse}:all-18", ExpectedVersion.NoStream, [new PointsEarned(2, "test")]);
        await events.AppendAsync("alone-17", ExpectedVersion.NoStream, [new PointsEarned(3, "test")], new() { CommandId = "c1" });
        var refused = await Assert.ThrowsAsync<StreamException>(() =>
            events.AppendAsync("points-17", ExpectedVersion.NoStream, [new PointsEarned(4, "test")]).AsTask());

        Assert.Equal([1, 2], (await events.ReadCategoryAsync("{purse}:all").ToListAsync()).Select(one => ((PointsEarned)one.Event).Amount));
        Assert.Equal(StreamErrorCode.CrossSlot, refused.Code);
        Assert.Contains("'{points}:all' and '{points}:all-17'", refused.Message, StringComparison.Ordinal);
        Assert.Equal(0, await events.GetVersionAsync("points-17"));
    }

    private static async Task<RedisServer> StartClusterAsync()
    {
        // The port of the bus is 10,000 above the other by default, where there may be none.
        var redis = await RedisServer.StartAsync("--cluster-enabled", "yes", "--cluster-port", $"{RedisServer.FindFreePort()}");
        try
        {
            await redis.CliAsync("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
            await Eventually.TrueAsync(
                "the cluster is up", async () => (await redis.CliAsync("CLUSTER", "INFO")).Contains("cluster_state:ok", StringComparison.Ordinal));
            return redis;
        }
        catch
        {
            await redis.DisposeAsync();
            throw;
        }
    }
}
