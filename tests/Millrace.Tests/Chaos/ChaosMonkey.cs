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

    /// <summary>Every tenth seed: the server stops for so long that every deadline of a client has passed. Only in runs that have the time.</summary>
    private static readonly TimeSpan LongPause = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LeastForLongPause = TimeSpan.FromSeconds(15);

    private static readonly ChaosFault[] OfWorkers =
    [
        ChaosFault.Kill, ChaosFault.Kill, ChaosFault.Freeze, ChaosFault.Terminate, ChaosFault.Cut, ChaosFault.BlackHole, ChaosFault.Trickle,
    ];

    /// <summary>What the groups lost, and told, is compared: nothing else happens while they find out, and shortly before.</summary>
    private static readonly TimeSpan AroundFlush = 3 * ChaosWorkload.Lease;

    /// <summary>How far the clock of the server jumps. Back only little: a Redis lets everything wait that long.</summary>
    private static readonly TimeSpan[] Jumps = [TimeSpan.FromHours(1), TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(-1), TimeSpan.FromSeconds(-2)];

    private static readonly ChaosFault[] OfLines = [ChaosFault.Cut, ChaosFault.BlackHole, ChaosFault.Trickle];

    private readonly Random _random = new(seed);
    private readonly ConcurrentDictionary<string, Task> _running = new();

    public async Task RunAsync(TimeSpan duration)
    {
        var endMs = history.NowMs + duration.TotalMilliseconds;

        // What was there before is gone, and the rest of the run must not know of it: so only in every fifth run, and once.
        var flushMs = seed % 5 == 0 ? endMs - (duration.TotalMilliseconds / 2) : double.MaxValue;
        if (seed % 10 == 1 && duration >= LeastForLongPause)
        {
            endMs += LongPause.TotalMilliseconds;
            Begin("server", () => PauseAsync(LongPause));
        }

        while (history.NowMs < endMs)
        {
            if (history.NowMs > flushMs)
            {
                flushMs = double.MaxValue;
                await FlushAsync();
            }

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

    private void Begin(string victim, Func<Task> strike) => TryBegin(victim, strike);

    /// <summary>Unless the victim has not yet got over the last blow.</summary>
    private bool TryBegin(string victim, Func<Task> strike)
    {
        if (_running.TryGetValue(victim, out var last) && !last.IsCompletedSuccessfully)
            return false;
        _running[victim] = Task.Run(strike);
        return true;
    }

    private async Task StrikeAsync(WorkerProcess worker, Random random)
    {
        var kind = OfWorkers[random.Next(OfWorkers.Length)];
        if (OfLines.Contains(kind))
        {
            await StrikeLineAsync(worker.Name, worker.Line, kind, random);
            return;
        }

        await worker.Gate.WaitAsync();
        try
        {
            await StrikeProcessAsync(worker, kind, random);
        }
        finally
        {
            worker.Gate.Release();
        }
    }

    private async Task StrikeProcessAsync(WorkerProcess worker, ChaosFault kind, Random random)
    {
        if (!worker.IsRunning)
            return; // A message was faster.
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
        var choice = random.Next(3);
        if (choice == 0)
        {
            await PauseAsync(Pause);
            return;
        }

        var begun = history.NowMs;
        if (choice == 1)
        {
            var jump = Jumps[random.Next(Jumps.Length)];
            server.Jump(jump);
            Note(server.FaultOfJump(jump), HistoryEvent.Everybody, begun);
            return;
        }

        await server.KillAsync();
        await Task.Delay(random.Next(500));
        await server.StartAgainAsync();
        Note(ChaosFault.RestartServer, HistoryEvent.Everybody, begun);
    }

    private async Task PauseAsync(TimeSpan pause)
    {
        var begun = history.NowMs;
        server.Pause();
        await Task.Delay(pause);
        server.Continue();
        Note(ChaosFault.PauseServer, HistoryEvent.Everybody, begun);
    }

    private async Task FlushAsync()
    {
        await Task.WhenAll(_running.Values);
        await Task.Delay(AroundFlush);
        var begun = history.NowMs;
        await server.FlushAsync();
        Note(ChaosFault.Flush, HistoryEvent.Everybody, begun);
        await Task.Delay(AroundFlush);
    }

    private void Note(ChaosFault kind, string victim, double begun) =>
        history.Add(new(begun, Happened.Fault) { Who = victim, UntilMs = history.NowMs, Detail = kind.ToString() });
}
