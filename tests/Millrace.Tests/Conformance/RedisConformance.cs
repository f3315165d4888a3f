using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Conformance;

public sealed class RedisConformance(SharedRedis redis) : RemoteConformance
{
    protected override async Task<int> StartedPortAsync() => (await redis.StartedAsync()).Port;
}
