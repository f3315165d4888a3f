using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Conformance;

public sealed class RedisConformance(SharedRedis redis) : StoreConformance
{
    // Tells the connections of this test from those of others on the shared server.
    private readonly string _clientName = $"conformance-{Guid.NewGuid():N}";

    protected override async ValueTask<IStreamStore> CreateStoreAsync()
    {
        var server = await redis.StartedAsync();
        return new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port, ClientName = _clientName });
    }

    protected override Task UntilBlockedAsync(int readers) => Eventually.TrueAsync($"{readers} readers wait in Redis", async () =>
    {
        var clients = await ((RedisStreamStore)Store).ExecuteAsync(["CLIENT", "LIST"]);
        return clients.Text.Split('\n').Count(IsBlocked) >= readers;
    });

    private bool IsBlocked(string client) =>
        client.Contains($" name={_clientName} ", StringComparison.Ordinal) && client.Contains(" flags=b", StringComparison.Ordinal);
}
