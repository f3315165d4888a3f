using System.Diagnostics;
using System.Globalization;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Restarts;

/// <summary>Random commands to a server with a journal: after a restart, and after a crash, it holds what it held.</summary>
public sealed class RestartTests
{
    private const int Commands = 1_500;

    /// <summary>The last one: the reply to <c>CONFIG SET</c> did not wait for the journal.</summary>
    private static readonly int[] Seeds = [1, 2, 3, 1394329494];

    [Fact]
    public void Random_commands_survive_a_restart_and_a_crash_byte_for_byte()
    {
        foreach (var seed in Seeds)
            Check(seed);

        // A slice of the time a whole run may take, for seeds nobody has tried. To repeat one, put it into Seeds.
        var slice = double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture);
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(slice / 10);)
            Check(Random.Shared.Next());
    }

    private static void Check(int seed)
    {
        var script = RestartScript.Make(seed, Commands);
        if (RestartRun.Run(script, seed) is not { } failed)
            return;
        var (small, difference) = Shrinker.Shrink(script, failed, candidate => RestartRun.Run(candidate, seed));
        Assert.Fail($"""
            Seed {seed}:
            {string.Join('\n', small.SelectMany(unit => unit.Commands))}
              before: {difference.Reference}
              after:  {difference.Subject}
            """);
    }
}
