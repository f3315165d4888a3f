using Millrace.Tests.Clients;

[assembly: AssemblyFixture(typeof(SharedMillrace))]

namespace Millrace.Tests.Clients;

/// <summary>
/// One <c>millrace serve --memory</c> for all tests that ask for it in their constructor, started with the first use. Tests use stream names
/// of their own and never flush.
/// </summary>
public sealed class SharedMillrace : IAsyncDisposable
{
    private readonly Lazy<Task<MillraceServer>> _server = new(() => MillraceServer.StartAsync("--memory"));

    /// <summary>The server, running.</summary>
    public Task<MillraceServer> StartedAsync() => _server.Value;

    public async ValueTask DisposeAsync()
    {
        // A start that failed has cleaned up after itself and already failed the tests that asked.
        if (_server.IsValueCreated && _server.Value.IsCompletedSuccessfully)
            await _server.Value.Result.DisposeAsync();
    }
}
