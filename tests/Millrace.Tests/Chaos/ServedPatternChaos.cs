using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>On a server that syncs its log before it answers: it is killed, paused and full, its clock is set, and each host has a line that is cut.</summary>
internal sealed class ServedPatternChaos : PatternChaos
{
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(400);

    /// <summary>Back only little: a Redis lets everything wait that long.</summary>
    private static readonly TimeSpan[] Jumps = [TimeSpan.FromHours(1), TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(-1)];

    private readonly ChaosServer _server;
    private readonly RedisStreamStore _store;
    private readonly CuttingProxy[] _proxies;
    private readonly RedisStreamStore[] _lines;

    public ServedPatternChaos(ChaosServer server, int seed, Action<MillraceBuilder> configure, Action<MillraceBuilder> desk, int processes)
        : base(seed, configure, desk, processes)
    {
        _server = server;
        _store = StoreAt(server.Port);
        _proxies = [.. Enumerable.Range(0, processes).Select(_ => CuttingProxy.Start(server.Port))];
        _lines = [.. _proxies.Select(proxy => StoreAt(proxy.Port))];
    }

    public override IStreamStore Store => _store;

    public override TimeProvider Time => TimeProvider.System;

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        foreach (var line in _lines)
            await line.DisposeAsync();
        await _store.DisposeAsync();
        foreach (var proxy in _proxies)
            await proxy.DisposeAsync();
        await _server.DisposeAsync();
    }

    protected override IStreamStore LineOf(int host) => _lines[host];

    protected override Task LimitMemoryAsync(long maxMemoryBytes) => _server.LimitMemoryAsync(maxMemoryBytes);

    protected override async Task<string> StrikeStoreAsync()
    {
        switch (Random.Next(4))
        {
            case 0:
                _server.Jump(Jumps[Random.Next(Jumps.Length)]);
                return "clock set";
            case 1:
                // Full or not, it comes back as it was started: with room.
                await _server.KillAsync();
                await Task.Delay(Random.Next(200));
                await _server.StartAgainAsync();
                return "server killed";
            case 2:
                _server.Pause();
                await Task.Delay(Pause);
                _server.Continue();
                return "server paused";
            default:
                _proxies[Random.Next(_proxies.Length)].Cut();
                return "line cut";
        }
    }

    /// <summary>Real time passes at its own pace.</summary>
    protected override Task PassAsync(TimeSpan time) => Task.Delay(Pace);

    protected override Task ReviveAsync() => Task.CompletedTask;

    private static RedisStreamStore StoreAt(int port) => new(RedisOptions.Parse($"127.0.0.1:{port}"));
}
