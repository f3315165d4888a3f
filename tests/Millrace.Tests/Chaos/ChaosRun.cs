using System.Diagnostics;
using Millrace.ChaosWorker;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>
/// Four worker processes against a server, each on a line of its own, while faults drawn from a seed strike processes, lines and server. Then
/// everything is healed, the groups settle, and the checker judges.
/// </summary>
internal sealed class ChaosRun : IAsyncDisposable
{
    // Three at once, each with a pause of 60 ms on average: fifty messages a second, handled by three groups.
    private const int Publishers = 3;
    private const int MeanPauseMs = 60;

    // Generous, because other tests and builds may share two cores; an idle machine needs two seconds.
    private static readonly TimeSpan SettleDeadline = TimeSpan.FromMinutes(3);

    private readonly MemoryHistory _history = new(() => Stopwatch.GetTimestamp() * 1_000d / Stopwatch.Frequency);
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-chaos-").FullName;
    private readonly ChaosServer _server;
    private readonly WorkerProcess[] _workers;
    private readonly CuttingProxy _publisherLine;
    private readonly IStreamStore _direct;

    private ChaosRun(ChaosServer server)
    {
        _server = server;
        _workers = [.. Enumerable.Range(0, ChaosWorkload.Workers).Select(i => new WorkerProcess($"w{i}", server.Port, Path.Combine(_directory, $"w{i}")))];
        _publisherLine = CuttingProxy.Start(server.Port);

        // With time, for it asks when the machine may be busiest; and soon there again after a restart.
        _direct = new RedisStreamStore(RedisOptions.Parse($"127.0.0.1:{server.Port},connectAttempts=100,maxReconnectDelay=500"));
    }

    public static async Task<ChaosResult> RunAsync(string serverName, int seed, TimeSpan duration)
    {
        await using var run = new ChaosRun(await ChaosServer.StartAsync(serverName));
        var leftovers = await run.LiveAsync(seed, duration);
        var history = run._history.Snapshot().Concat(run._workers.SelectMany(worker => worker.ReadHistory())).OrderBy(happened => happened.AtMs).ToList();
        var truth = await StoreTruth.ReadAsync(run._direct) with { Leftovers = leftovers };
        var violations = HistoryChecker.Check(history, truth, ChaosWorkload.Lease).Select(violation => violation.ToString())
            .Concat(run._workers.Select(worker => worker.UnexpectedEnd).OfType<string>())
            .Select(text => $"{serverName}, seed {seed}: {text}").ToList();
        if (violations.Count > 0)
            await ChaosResult.KeepAsync($"{serverName}-{seed}", history, violations);
        return ChaosResult.Of(history, truth, violations);
    }

    /// <summary>Everything but the judgement.</summary>
    /// <returns>What the groups were not through with in the end.</returns>
    private async Task<IReadOnlyList<string>> LiveAsync(int seed, TimeSpan duration)
    {
        await Task.WhenAll(_workers.Select(worker => worker.StartAsync(asBefore: false)));
        using var stop = new CancellationTokenSource();
        using var stopWatching = new CancellationTokenSource();
        using var stopReviving = new CancellationTokenSource();
        var reviving = _workers.Select(worker => worker.KeepAliveAsync(stopReviving.Token)).ToList();
        var watching = WatchForStallsAsync(stopWatching.Token);
        await using var store = new RedisStreamStore(RedisOptions.Parse($"127.0.0.1:{_publisherLine.Port},{WorkerProcess.ConnectionOptions}"));
        await using var host = await ConsumerHost.StartAsync(millrace => millrace.AddMessage<Job>(), store);
        var publishing = Enumerable.Range(0, Publishers)
            .Select(i => new ChaosPublisher(_history, TimeProvider.System, (seed * Publishers) + i, VictimOf(seed, i))
                .RunAsync(host.Publisher, MeanPauseMs, stop.Token))
            .ToList();

        await new ChaosMonkey(_server, _workers, _publisherLine, _history, seed).RunAsync(duration);
        await stop.CancelAsync();
        await Task.WhenAll(publishing);
        var leftovers = await SettleAsync();
        await stopReviving.CancelAsync();
        await Task.WhenAll(reviving);
        await stopWatching.CancelAsync();
        await watching;
        await Task.WhenAll(_workers.Where(worker => worker.UnexpectedEnd is null).Select(worker => worker.TerminateAsync()));
        return leftovers;
    }

    /// <summary>One message of a run kills, in the one risky group or the other.</summary>
    private static string? VictimOf(int seed, int publisher) =>
        publisher > 0 ? null : seed % 2 == 0 ? ChaosWorkload.Risk : ChaosWorkload.RiskInOrder;

    /// <summary>Waits until nothing is left to do, for long enough that no delayed message or retry can come any more.</summary>
    private async Task<IReadOnlyList<string>> SettleAsync()
    {
        var deadline = Stopwatch.GetTimestamp();
        var quietSince = deadline;
        IReadOnlyList<string> leftovers = ["the store was never asked"];
        using var pause = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (Stopwatch.GetElapsedTime(deadline) < SettleDeadline && Stopwatch.GetElapsedTime(quietSince) < ChaosPublisher.MaxDelay)
        {
            await pause.WaitForNextTickAsync();
            leftovers = await FindLeftoversAsync();
            if (leftovers.Count > 0)
                quietSince = Stopwatch.GetTimestamp();
        }

        return leftovers;
    }

    private async Task<IReadOnlyList<string>> FindLeftoversAsync()
    {
        try
        {
            return await StoreTruth.FindLeftoversAsync(_direct);
        }
        catch (StreamException exception) when (exception.IsTransient)
        {
            return [exception.Message];
        }
    }

    /// <summary>
    /// A server or a proxy of ours that gets no processor keeps leases from being renewed, as a pause would: seen by calls that take long.
    /// </summary>
    private async Task WatchForStallsAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (!stop.IsCancellationRequested)
        {
            var begun = _history.NowMs;
            try
            {
                await timer.WaitForNextTickAsync(stop);
                await _direct.GetStreamInfoAsync(ChaosWorkload.Jobs, stop);
            }
            catch (Exception exception) when (exception is StreamException or OperationCanceledException)
            {
                // The server is away, which is noted as what it is; or the run is over.
            }

            if (_history.NowMs - begun > ChaosWorkload.StallMs)
                _history.Add(new(begun, Happened.Fault) { Who = HistoryEvent.Everybody, UntilMs = _history.NowMs, Detail = nameof(ChaosFault.Stall) });
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var worker in _workers)
            await worker.DisposeAsync();
        await _direct.DisposeAsync();
        await _publisherLine.DisposeAsync();
        await _server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }
}
