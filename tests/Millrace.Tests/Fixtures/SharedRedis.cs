using Millrace.Tests.Fixtures;

[assembly: AssemblyFixture(typeof(SharedRedis))]

namespace Millrace.Tests.Fixtures;

/// <summary>
/// One redis-server for all tests that ask for it in their constructor. It starts with the first use, so that runs without Redis tests
/// need none. Tests use stream names of their own and never flush; a test that breaks or configures its server starts its own.
/// </summary>
public sealed class SharedRedis : IAsyncDisposable
{
    private readonly Lazy<Task<RedisServer>> _server = new(() => RedisServer.StartAsync());

    /// <summary>The server, running.</summary>
    public Task<RedisServer> StartedAsync() => _server.Value;

    public async ValueTask DisposeAsync()
    {
        // A start that failed has cleaned up after itself and already failed the tests that asked.
        if (_server.IsValueCreated && _server.Value.IsCompletedSuccessfully)
            await _server.Value.Result.DisposeAsync();
    }
}
