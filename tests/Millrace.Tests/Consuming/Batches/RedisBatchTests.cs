using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Batches;

public sealed class RedisBatchTests(SharedRedis redis) : BatchContract, IAsyncLifetime
{
    private RedisStreamStore? _store;

    protected override IStreamStore Store => _store!;

    public async ValueTask InitializeAsync() => _store = new(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
