using System.Diagnostics;

namespace Millrace.Tests.Simulation;

/// <summary>Many seeds, on a few threads, until one fails, the number is reached or the time is over.</summary>
internal sealed class SimulationBatch(int firstSeed, long seeds, TimeSpan duration)
{
    /// <summary>So many are run however short the time is: in fewer, a rare kind of fault may not come up.</summary>
    private const long LeastSeeds = 1_000;

    private readonly Lock _lock = new();
    private readonly long _start = Stopwatch.GetTimestamp();
    private long _taken;
    private long _done;
    private long _repeated;
    private long _steps;
    private TimeSpan _elapsed;

    public FaultCounts Counts { get; } = new();

    public int? FailedSeed { get; private set; }

    /// <summary>What was wrong with it.</summary>
    public Exception? Failure { get; private set; }

    public void Run(int threads, int repeatEvery)
    {
        var runners = Enumerable.Range(0, threads).Select(_ => new Thread(() => RunSeeds(repeatEvery))).ToArray();
        foreach (var runner in runners)
            runner.Start();
        foreach (var runner in runners)
            runner.Join();
        _elapsed = Stopwatch.GetElapsedTime(_start);
    }

    public string Summary() =>
        $"{_done} seeds from {firstSeed} on ({_repeated} of them twice), {_steps} steps, {_done / _elapsed.TotalSeconds:F0} seeds/s\n{Counts}";

    /// <summary>Runs one seed.</summary>
    /// <returns>What went wrong, or null.</returns>
    public static Exception? TryRun(int seed, SimulationLimits limits, FaultCounts counts, out ulong trace) =>
        TryRun(seed, limits, counts, out trace, out _);

    /// <summary>Cuts a failing run down as long as it goes on failing: lives, operations, kinds of faults.</summary>
    public static (SimulationLimits Limits, Exception Failure) Shrink(int seed, Exception failure)
    {
        var limits = new SimulationLimits();
        for (var lives = 1; lives < 7 && !TryLimit(limits with { Lives = lives }); lives++)
        {
        }

        foreach (var kind in Enum.GetValues<FaultKind>())
            TryLimit(limits with { Without = new HashSet<FaultKind>(limits.Without) { kind } });
        for (var operations = 0; operations < 60 && !TryLimit(limits with { Operations = operations }); operations++)
        {
        }

        return (limits, failure);

        bool TryLimit(SimulationLimits smaller)
        {
            if (TryRun(seed, smaller, new(), out _) is not { } still)
                return false;
            (limits, failure) = (smaller, still);
            return true;
        }
    }

    /// <summary>A run in words.</summary>
    public static List<string> Tell(int seed, SimulationLimits limits)
    {
        var lines = new List<string>();
        TryRun(seed, limits, new(), out _, out _, lines);
        return lines;
    }

    private static Exception? TryRun(
        int seed, SimulationLimits limits, FaultCounts counts, out ulong trace, out int steps, List<string>? lines = null)
    {
        var run = new SimulationRun(seed, limits, counts, lines);
        Exception? failure = null;
        try
        {
            run.Run();
        }
        catch (Exception exception)
        {
            // Whatever it is, an assertion of the engine for one: it is what the seed shows.
            failure = exception;
        }

        (trace, steps) = (run.TraceHash, run.Steps);
        return failure;
    }

    private void RunSeeds(int repeatEvery)
    {
        var counts = new FaultCounts();
        var (done, repeated, steps) = (0L, 0L, 0L);
        while (FailedSeed is null && (Stopwatch.GetElapsedTime(_start) < duration || _taken < LeastSeeds))
        {
            var number = Interlocked.Increment(ref _taken) - 1;
            if (number >= seeds)
                break;
            var seed = (int)((firstSeed + number) % int.MaxValue);
            var failure = TryRun(seed, new(), counts, out var trace, out var stepsOfSeed);
            done++;
            steps += stepsOfSeed;
            if (failure is null && number % repeatEvery == 0)
            {
                repeated++;
                if (TryRun(seed, new(), new(), out var again) is null && again == trace)
                    continue;
                failure = new InvalidOperationException("The second run was another one.");
            }

            if (failure is not null)
            {
                lock (_lock)
                {
                    if (FailedSeed is null || seed < FailedSeed)
                        (FailedSeed, Failure) = (seed, failure);
                }
            }
        }

        lock (_lock)
        {
            Counts.AddAll(counts);
            _done += done;
            _repeated += repeated;
            _steps += steps;
        }
    }
}
