using System.Collections.Concurrent;
using Millrace.ChaosWorker;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>Does harm drawn from a seed, several things at once but one at a time to each victim, and heals all of it in the end.</summary>
internal sealed class ChaosMonkey(
    ChaosServer server, IReadOnlyList<WorkerProcess> workers, CuttingProxy publisherLine, IHistory history, int seed)
{
    /// <summary>How long a stopped worker or server stays so: long past the lease.</summary>
    private static readonly TimeSpan Pause = 3 * ChaosWorkload.Lease;

    private static readonly ChaosFault[] OfWorkers =
    [
        ChaosFault.Kill, ChaosFault.Kill, ChaosFault.Freeze, ChaosFault.Terminate, ChaosFault.Cut, ChaosFault.BlackHole, ChaosFault.Trickle,
    ];

    private static readonly ChaosFault[] OfLines = [ChaosFault.Cut, ChaosFault.BlackHole, ChaosFault.Trickle];

    private static readonly ChaosFault[] OfServer = [ChaosFault.RestartServer, ChaosFault.PauseServer];

    private readonly Random _random = new(seed);
    private readonly ConcurrentDictionary<string, Task> _running = new();

    public async Task RunAsync(TimeSpan duration)
    {
        var endMs = history.NowMs + duration.TotalMilliseconds;
        while (history.NowMs < endMs)
        {
            await Task.Delay(_random.Next(100, 900));

            // Of eight victims: the four workers, each twice as likely as the line of the publishers and the server.
            var victim = _random.Next(10);
            var random = new Random(_random.Next());
            if (victim < 8)
                Begin(workers[victim / 2].Name, () => StrikeAsync(workers[victim / 2], random));
            else if (victim == 8)
                Begin("publisher", () => StrikeLineAsync("publisher", publisherLine, OfLines[random.Next(OfLines.Length)], random));
            else
                Begin("server", () => StrikeServerAsync(random));
        }

        await Task.WhenAll(_running.Values);
    }

    /// <summary>Unless the victim has not yet got over the last blow.</summary>
    private void Begin(string victim, Func<Task> strike)
    {
        if (!_running.TryGetValue(victim, out var last) || last.IsCompletedSuccessfully)
            _running[victim] = Task.Run(strike);
    }

    private async Task StrikeAsync(WorkerProcess worker, Random random)
    {
        var kind = OfWorkers[random.Next(OfWorkers.Length)];
        if (OfLines.Contains(kind))
        {
            await StrikeLineAsync(worker.Name, worker.Line, kind, random);
            return;
        }

        var begun = history.NowMs;
        if (kind == ChaosFault.Freeze)
        {
            worker.Freeze();
            await Task.Delay(Pause);
            worker.Thaw();
        }
        else
        {
            await (kind == ChaosFault.Kill ? worker.KillAsync() : worker.TerminateAsync());
            await Task.Delay(random.Next(1_000));
            await worker.StartAsync(asBefore: random.Next(2) == 0);
        }

        Note(kind, worker.Name, begun);
    }

    private async Task StrikeLineAsync(string victim, CuttingProxy line, ChaosFault kind, Random random)
    {
        var begun = history.NowMs;
        switch (kind)
        {
            case ChaosFault.Cut:
                line.Cut();
                break;
            case ChaosFault.BlackHole:
                line.BlackHole();
                await Task.Delay(random.Next(200, (int)Pause.TotalMilliseconds));
                line.Restore();
                break;
            default:
                line.IsTrickling = true;
                await Task.Delay(random.Next(200, (int)Pause.TotalMilliseconds));
                line.IsTrickling = false;
                break;
        }

        Note(kind, victim, begun);
    }

    private async Task StrikeServerAsync(Random random)
    {
        var begun = history.NowMs;
        var kind = OfServer[random.Next(OfServer.Length)];
        if (kind == ChaosFault.PauseServer)
        {
            server.Pause();
            await Task.Delay(Pause);
            server.Continue();
        }
        else
        {
            await server.KillAsync();
            await Task.Delay(random.Next(500));
            await server.StartAgainAsync();
        }

        Note(kind, HistoryEvent.Everybody, begun);
    }

    private void Note(ChaosFault kind, string victim, double begun) =>
        history.Add(new(begun, Happened.Fault) { Who = victim, UntilMs = history.NowMs, Detail = kind.ToString() });
}
