using System.Globalization;

namespace Millrace.Tests.Fixtures;

/// <summary>A seeded slice: <c>MILLRACE_SLICE_SECONDS</c> (default 30) says how long all of it may take, and a test takes its share.</summary>
internal static class Slice
{
    public static TimeSpan Of(double share) => TimeSpan.FromSeconds(
        share * double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture));

    /// <summary>The seed in a variable of the environment, or a new one.</summary>
    public static int SeedOf(string variable)
    {
        var seed = Environment.GetEnvironmentVariable(variable) is { Length: > 0 } given
            ? int.Parse(given, CultureInfo.InvariantCulture)
            : Random.Shared.Next(1_000_000);
        Print(variable, seed);
        return seed;
    }

    /// <summary>Runs one seed after the other, and one at least, until the share is used up. Each is printed before it runs.</summary>
    /// <param name="variable">The variable of the environment with the first seed. Without it, a new one.</param>
    /// <param name="share">The part of the slice.</param>
    /// <param name="runAsync">Runs a seed.</param>
    public static async Task RunAsync(string variable, double share, Func<int, Task> runAsync)
    {
        var started = TimeProvider.System.GetTimestamp();
        var seed = SeedOf(variable);
        await runAsync(seed);
        while (TimeProvider.System.GetElapsedTime(started) < Of(share))
        {
            Print(variable, ++seed);
            await runAsync(seed);
        }
    }

    private static void Print(string variable, int seed) => TestContext.Current.TestOutputHelper?.WriteLine($"{variable}={seed}");
}
