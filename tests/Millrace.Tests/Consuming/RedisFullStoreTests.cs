using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>A Redis of its own.</summary>
public sealed class RedisFullStoreTests : FullStoreContract
{
    protected override Task<LimitedStore> StartAsync() => LimitedStore.StartRedisAsync();
}
