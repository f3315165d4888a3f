using System.Diagnostics;
using Millrace.ChaosWorker;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Chaos;

/// <summary>
/// Several lives of a process with an embedded store on a simulated disk and a few hosts on it, in virtual time. Hosts are killed, frozen and stopped
/// one by one; each life ends with all of them at once, at a moment drawn from the seed, even in the middle of a write. The last life heals.
/// </summary>
/// <remarks>Handlers run on the thread pool, so a seed says which faults there are and about when, not the order of everything.</remarks>
internal sealed class VirtualRun
{
    private const int StepMs = 25;

    /// <summary>
    /// Time must not run away from a thread that has work and no processor: a lease is forty steps, so that a machine has to be very busy for one to
    /// be lost that way.
    /// </summary>
    private static readonly TimeSpan LeastRealTime = TimeSpan.FromMilliseconds(1);

    /// <summary>A machine that takes longer than this to come back gets the time again, so often.</summary>
    private static readonly TimeSpan Prompt = TimeSpan.FromMilliseconds(10);
    private const int MaxWaits = 20;

    // A run has a tenth of it; more is a message that goes round in circles.
    private const int MaxEvents = 30_000;

    // A process that ends takes all of its hosts with it, so that a run with a message that kills has many lives.
    private const int KillerEvery = 3;

    // In virtual time, and far more than the retries of the last message take.
    private const int MaxSettleSteps = 60_000 / StepMs;

    private readonly ManualTimeProvider _manual = new();
    private readonly long _start;
    private readonly VirtualClock _time;
    private readonly MemoryHistory _history;
    private readonly int _seed;
    private readonly Random _random;
    private readonly SimulatedDisk _disk = new();
    private readonly ChaosPublisher _publisher;
    private readonly SyncPolicy _sync;
    private readonly JournalOptions _journal;
    private readonly long _snapshotBytes;
    private readonly VirtualHost?[] _hosts;
    private readonly int[] _starts;
    private readonly List<(int AtStep, Func<Task> HealAsync)> _healing = [];

    private MortalStore _process = null!;
    private int _step;

    private VirtualRun(int seed)
    {
        _seed = seed;
        _start = _manual.GetTimestamp();
        _time = new(_manual);
        _history = new(() => _manual.GetElapsedTime(_start).TotalMilliseconds);
        _random = new(seed);
        var victim = _random.Next(2) == 0 ? ChaosWorkload.Risk : ChaosWorkload.RiskInOrder;
        _publisher = new(_history, _time, seed, seed % KillerEvery == 0 ? victim : null);
        _sync = (SyncPolicy)_random.Next(3);
        _journal = new() { SegmentBytes = 4_096 << _random.Next(5), Aside = static work => work() };
        _snapshotBytes = _random.Next(2) == 0 ? long.MaxValue : _journal.SegmentBytes / 4; // Eight times this where it only grows.
        _hosts = new VirtualHost?[_random.Next(1, 4)];
        _starts = new int[_hosts.Length];
    }

    private bool IsAlive => _process.IsAlive;

    private IStreamStore Store => _process.Store;

    public static async Task<ChaosResult> RunAsync(int seed)
    {
        var run = new VirtualRun(seed);
        for (var lives = run._random.Next(1, 4); lives > 0; lives--)
            await run.LiveAsync();
        var truth = await run.SettleAsync();
        var history = run._history.Snapshot();
        var violations = HistoryChecker.Check(history, truth, ChaosWorkload.Lease).Select(violation => $"seed {seed}: {violation}").ToList();
        if (violations.Count > 0)
            await ChaosResult.KeepAsync($"virtual-{seed}", history, violations);
        return ChaosResult.Of(history, truth, violations);
    }

    /// <summary>A life that ends badly.</summary>
    private async Task LiveAsync()
    {
        // Half of the lives end between two operations of the device, the others in one.
        await StartAsync(_random.Next(2) == 0 ? _random.Next(20, 600) : 0);
        for (var steps = _random.Next(20, 160); steps > 0 && IsAlive; steps--)
        {
            if (_random.Next(3) == 0 && _hosts.FirstOrDefault(host => host is { IsFrozen: false }) is { } host)
                await _publisher.PublishAsync(host.Publisher, () => IsAlive);
            if (_random.Next(25) == 0)
                await StrikeAsync(_random.Next(_hosts.Length));
            await StepAsync();
        }

        await EndAsync();
    }

    private async Task StartAsync(int crashAt)
    {
        var options = new EmbeddedStoreOptions { Sync = _sync, Journal = _journal, SnapshotAfterBytes = _snapshotBytes };
        _process = new(_disk, _random, crashAt, options, _time);
        for (var i = 0; i < _hosts.Length && IsAlive; i++)
            await StartHostAsync(i);
    }

    private async Task StartHostAsync(int i)
    {
        if (_random.Next(2) == 0)
            _starts[i]++;
        var process = _process;
        try
        {
            var history = _history.While(() => process.IsAlive);
            _hosts[i] = await VirtualHost.StartAsync($"h{i}", $"h{i}-{_starts[i]}", process.Store, _time, history, () => Die(process, history));
        }
        catch (StreamException) when (!IsAlive)
        {
            // The process ended while it started.
        }
    }

    private static void Die(MortalStore process, IHistory history)
    {
        history.Add(new(history.NowMs, Happened.Fault) { Who = HistoryEvent.Everybody, UntilMs = history.NowMs, Detail = nameof(ChaosFault.Killer) });
        process.Kill();
    }

    private async Task StrikeAsync(int i)
    {
        if (_hosts[i] is not { IsFrozen: false } host)
            return;
        var begun = _history.NowMs;
        switch (_random.Next(4))
        {
            case 0:
                await EndHostAsync(i, host.AbortAsync());
                Note(ChaosFault.Kill, host.Name, begun);
                StartLater(i);
                break;
            case 1:
                await EndHostAsync(i, host.StopAsync());
                Note(ChaosFault.Terminate, host.Name, begun);
                StartLater(i);
                break;
            case 2:
                host.Freeze();
                var pause = 3 * ChaosWorkload.Lease;
                Note(ChaosFault.Freeze, host.Name, begun, begun + pause.TotalMilliseconds);
                _healing.Add((_step + (int)(pause.TotalMilliseconds / StepMs), () =>
                {
                    host.Thaw();
                    return Task.CompletedTask;
                }));
                break;
            default:
                // An hour forward, or back: then the clock of the store goes slower until it is right again.
                _time.Jump(_random.Next(2) == 0 ? TimeSpan.FromHours(1) : TimeSpan.FromSeconds(-_random.Next(5)));
                Note(ChaosFault.ClockJump, HistoryEvent.Everybody, begun);
                break;
        }
    }

    private async Task EndHostAsync(int i, Task ending)
    {
        var host = _hosts[i]!;
        await FinishAsync(ending);
        _hosts[i] = null;
        await host.DisposeAsync();
    }

    private void StartLater(int i) =>
        _healing.Add((_step + _random.Next(60), () => _hosts[i] is null && IsAlive ? StartHostAsync(i) : Task.CompletedTask));

    /// <summary>All at once: the process, or the machine. Only what is synced always survives that.</summary>
    private async Task EndAsync()
    {
        var begun = _history.NowMs;
        _process.Kill();
        _healing.Clear();
        for (var i = 0; i < _hosts.Length; i++)
        {
            if (_hosts[i] is { } host)
                await EndHostAsync(i, host.AbortAsync());
        }

        await FinishAsync(_process.CloseAsync());
        var isPowerCut = _sync == SyncPolicy.Always && _random.Next(2) == 0;
        if (isPowerCut)
            _disk.CutPower(_random, (_, _) => { });
        else
            _disk.Kill(_random, mayDroppedSurvive: false, (_, _) => { });
        Note(isPowerCut ? ChaosFault.PowerCut : ChaosFault.KillAll, HistoryEvent.Everybody, begun);
    }

    /// <summary>The last life: nothing more happens, and the groups come to their end.</summary>
    private async Task<StoreTruth> SettleAsync()
    {
        await StartAsync(crashAt: 0);
        IReadOnlyList<string> leftovers = ["the store was never asked"];
        var quiet = 0;
        for (var step = 0; step < MaxSettleSteps && quiet * StepMs < 2 * ChaosPublisher.MaxDelay.TotalMilliseconds; step++)
        {
            await StepAsync();
            if (!IsAlive)
            {
                await EndAsync();
                await StartAsync(crashAt: 0);
            }

            leftovers = await FindLeftoversAsync();
            quiet = leftovers.Count == 0 ? quiet + 1 : 0;
        }

        foreach (var host in _hosts)
            await FinishAsync(host!.StopAsync());
        var truth = await StoreTruth.ReadAsync(Store);
        foreach (var host in _hosts)
            await host!.DisposeAsync();
        Array.Clear(_hosts);
        await FinishAsync(_process.CloseAsync());
        return truth with { Leftovers = [.. leftovers.Concat(truth.Leftovers)] };
    }

    private async Task<IReadOnlyList<string>> FindLeftoversAsync()
    {
        try
        {
            return await StoreTruth.FindLeftoversAsync(Store);
        }
        catch (StreamException) when (!IsAlive)
        {
            return ["a message ended the process"];
        }
    }

    /// <summary>Lets time go by while something ends.</summary>
    private async Task FinishAsync(Task task)
    {
        var deadline = _step + MaxSettleSteps;
        while (!task.IsCompleted && _step < deadline)
            await StepAsync();
        await task.WaitAsync(Eventually.Deadline);
    }

    /// <summary>A little time, and then what it set in motion: time goes on when every host has seen it.</summary>
    private async Task StepAsync()
    {
        _step++;
        foreach (var due in _healing.Where(healing => healing.AtStep <= _step).ToList())
        {
            _healing.Remove(due);
            await due.HealAsync();
        }

        _manual.Advance(TimeSpan.FromMilliseconds(StepMs));
        await LetWorkAsync();
        if (!AreUpToDate())
            await Eventually.TrueAsync("hosts follow the clock", () => ValueTask.FromResult(AreUpToDate()));
        if (_history.Count > MaxEvents)
            throw new InvalidOperationException($"seed {_seed}: more than {MaxEvents} events, and no end");
    }

    /// <summary>Lets what the clock set in motion come to its end, or to wait for the clock: more than a moment where the machine is busy.</summary>
    public static async Task LetWorkAsync()
    {
        for (var waits = 0; waits < MaxWaits; waits++)
        {
            var asked = Stopwatch.GetTimestamp();
            await Task.Delay(LeastRealTime);
            if (Stopwatch.GetElapsedTime(asked) < Prompt)
                return;
        }
    }

    private bool AreUpToDate() => _hosts.All(host => host?.IsUpToDate ?? true);

    private void Note(ChaosFault kind, string victim, double begunMs, double? endMs = null) => _history.Add(
        new(begunMs, Happened.Fault) { Who = victim, UntilMs = endMs ?? _history.NowMs, Detail = kind.ToString() });
}
