using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Conformance;

/// <summary>The suite through our client, on a server that other tests use too.</summary>
public abstract class RemoteConformance : StoreConformance
{
    // Tells the connections of this test from those of others on the shared server.
    private readonly string _clientName = $"conformance-{Guid.NewGuid():N}";

    /// <summary>The port of the server on 127.0.0.1, once it runs.</summary>
    protected abstract Task<int> StartedPortAsync();

    protected override async ValueTask<IStreamStore> CreateStoreAsync() =>
        new RedisStreamStore(new() { Host = "127.0.0.1", Port = await StartedPortAsync(), ClientName = _clientName });

    protected override Task UntilBlockedAsync(int readers) => Eventually.TrueAsync($"{readers} readers wait in the server", async () =>
    {
        var clients = await ((RedisStreamStore)Store).ExecuteAsync(["CLIENT", "LIST"]);
        return clients.Text.Split('\n').Count(IsBlocked) >= readers;
    });

    private bool IsBlocked(string client) =>
        client.Contains($" name={_clientName} ", StringComparison.Ordinal) && client.Contains(" flags=b", StringComparison.Ordinal);
}
