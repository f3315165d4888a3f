using Millrace.Tests.Fixtures;

[assembly: AssemblyFixture(typeof(SharedPostgres))]

namespace Millrace.Tests.Fixtures;

/// <summary>
/// One PostgreSQL for all tests that ask for it in their constructor. It starts with the first use. Tests make databases of their own; a test that
/// breaks its server starts its own.
/// </summary>
public sealed class SharedPostgres : IAsyncDisposable
{
    private readonly Lazy<Task<PostgresServer>> _server = new(() => PostgresServer.StartAsync());

    /// <summary>The server, running.</summary>
    public Task<PostgresServer> StartedAsync() => _server.Value;

    public async ValueTask DisposeAsync()
    {
        // A start that failed has cleaned up after itself and already failed the tests that asked.
        if (_server.IsValueCreated && _server.Value.IsCompletedSuccessfully)
            await _server.Value.Result.DisposeAsync();
    }
}
