using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>A Redis of its own.</summary>
public sealed class RedisFullStoreTests : FullStoreContract
{
    private RedisServer _server = null!;
    private RedisStreamStore _store = null!;

    protected override IStreamStore Store => _store;

    public override async ValueTask InitializeAsync()
    {
        _server = await RedisServer.StartAsync();
        _store = new(RedisOptions.Parse(_server.Endpoint));
    }

    public override async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _server.DisposeAsync();
    }

    protected override Task LimitAsync(long maxMemoryBytes) => _server.CliAsync("CONFIG", "SET", "maxmemory", $"{maxMemoryBytes}");
}
