using System.Net;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Clients;

/// <summary>
/// The servers a session runs against: ours, and redis-server, which shows that it is the session that is right when ours fails it.
/// </summary>
internal sealed class ServerOfKind : IAsyncDisposable
{
    public const string Millrace = "millrace";
    public const string Redis = "redis-server";

    private readonly MillraceServer? _millrace;
    private readonly RedisServer? _redis;

    private ServerOfKind(MillraceServer? millrace, RedisServer? redis)
    {
        _millrace = millrace;
        _redis = redis;
    }

    public IPEndPoint Endpoint => _millrace?.Endpoint ?? new(IPAddress.Loopback, _redis!.Port);

    public static async Task<ServerOfKind> StartAsync(string kind) => kind == Redis
        ? new(null, await RedisServer.StartAsync())
        : new(await MillraceServer.StartAsync("--memory"), null);

    /// <summary>Kills the server and starts it again, empty, on the same port.</summary>
    public async Task RestartAsync()
    {
        if (_millrace is not null)
        {
            await _millrace.KillAsync();
            await _millrace.StartAgainAsync();
        }
        else
        {
            await _redis!.KillAsync();
            await _redis.StartAgainAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_millrace is not null)
            await _millrace.DisposeAsync();
        if (_redis is not null)
            await _redis.DisposeAsync();
    }
}
