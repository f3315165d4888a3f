using System.Globalization;
using Millrace.Tests.Clients;

namespace Millrace.Tests.Chaos;

/// <summary>
/// Worker processes against a real server while both, and the lines between them, are killed, stopped and cut. <c>MILLRACE_CHAOS_RUNS</c> runs
/// that many of 20 s, from <c>MILLRACE_CHAOS_SEED</c> (default 1) on; otherwise one of a quarter of <c>MILLRACE_SLICE_SECONDS</c>, from a new seed.
/// </summary>
public sealed class ChaosTests(ITestOutputHelper output)
{
    private static readonly TimeSpan FullRun = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData(ServerOfKind.Redis)]
    [InlineData(ServerOfKind.Millrace)]
    public async Task Workers_in_chaos_keep_every_promise(string server)
    {
        var runs = Number("MILLRACE_CHAOS_RUNS");
        var seed = (int)(Number("MILLRACE_CHAOS_SEED") ?? (runs is null ? Random.Shared.Next(1_000_000) : 1));
        var duration = runs is null ? TimeSpan.FromSeconds((Number("MILLRACE_SLICE_SECONDS") ?? 30) / 4d) : FullRun;
        var all = new ChaosResult();
        for (var run = 0; run < (runs ?? 1); run++)
        {
            var result = await ChaosRun.RunAsync(server, seed + run, duration);
            all.Add(result);
            output.WriteLine($"{server}, seed {seed + run}: {result}");
        }

        output.WriteLine(all.ToTable(server));
        Assert.True(all.Violations.Count == 0, string.Join('\n', all.Violations));
        Assert.True(all.Published > 0 && all.Effects > 0);
    }

    private static long? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? long.Parse(text, CultureInfo.InvariantCulture) : null;
}
