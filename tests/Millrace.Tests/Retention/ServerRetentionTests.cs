using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;

namespace Millrace.Tests.Retention;

public sealed class ServerRetentionTests(SharedMillrace millrace) : RetentionContract, IAsyncLifetime
{
    private RedisStreamStore? _store;

    protected override IStreamStore Store => _store!;

    public async ValueTask InitializeAsync() => _store = new(RedisOptions.Parse($"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}"));

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
