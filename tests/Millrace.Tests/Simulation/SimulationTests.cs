using System.Diagnostics;
using System.Globalization;

namespace Millrace.Tests.Simulation;

/// <summary>
/// Stores that live several lives on a device that fails in every way it can, each run from one seed. <c>MILLRACE_SIM_SEED</c> repeats one seed;
/// <c>MILLRACE_SIM_SEEDS</c> runs that many, and otherwise <c>MILLRACE_SLICE_SECONDS</c> says how long.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    /// <summary>Of a hundred seeds one is run twice, to see that it is the same run.</summary>
    private const int RepeatEvery = 100;

    private const int Threads = 2;

    /// <summary>Of the story of a run that fails, the end.</summary>
    private const int LinesShown = 100;

    [Fact]
    public void Store_on_a_failing_device_keeps_every_promise()
    {
        if (Number("MILLRACE_SIM_SEED") is { } seed)
        {
            Explain((int)seed, null);
            return;
        }

        var seeds = Number("MILLRACE_SIM_SEEDS");
        var slice = double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture);
        var first = seeds is null ? Random.Shared.Next(1_000_000_000) : 1;
        var batch = new SimulationBatch(first, seeds ?? int.MaxValue, seeds is null ? TimeSpan.FromSeconds(slice) : TimeSpan.MaxValue);
        batch.Run(Threads, RepeatEvery);
        output.WriteLine(batch.Summary());
        if (Environment.GetEnvironmentVariable("MILLRACE_SIM_POINTS") is not null)
            output.WriteLine(batch.Counts.Points());
        if (batch.FailedSeed is { } failed)
            Explain(failed, batch.Failure);
        foreach (var kind in Enum.GetValues<FaultKind>())
            Assert.True(batch.Counts[kind] > 0, $"{kind} never fired.");
    }

    /// <summary>Runs one seed; if it fails, says how little of it does.</summary>
    private void Explain(int seed, Exception? firstFailure)
    {
        if (SimulationBatch.TryRun(seed, new(), new(), out var hash) is not { } failure)
        {
            output.WriteLine($"seed {seed} keeps every promise, trace {hash:x16}");
            if (firstFailure is not null)
                Assert.Fail($"seed {seed} failed at first and then did not: the run is not deterministic. At first: {firstFailure}");
            return;
        }

        var (limits, smallest) = SimulationBatch.Shrink(seed, failure);
        output.WriteLine(string.Join('\n', SimulationBatch.Tell(seed, limits).TakeLast(LinesShown)));
        Assert.Fail($"seed {seed}: {smallest}\nsmallest run that fails: {limits}\nrepeat with MILLRACE_SIM_SEED={seed}");
    }

    private static long? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? long.Parse(text, CultureInfo.InvariantCulture) : null;
}
