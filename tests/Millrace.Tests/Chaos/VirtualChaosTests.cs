using System.Globalization;

namespace Millrace.Tests.Chaos;

/// <summary>
/// Hosts on an embedded store in virtual time, killed one by one and all at once. <c>MILLRACE_CHAOS_SEEDS</c> runs that many, from
/// <c>MILLRACE_CHAOS_SEED</c> (default 1) on; otherwise a few from a new seed.
/// </summary>
public sealed class VirtualChaosTests(ITestOutputHelper output)
{
    private const int Slice = 15;

    // A run waits more than it works.
    private const int Parallel = 8;

    [Fact]
    public async Task Hosts_in_virtual_chaos_keep_every_promise()
    {
        var seeds = Number("MILLRACE_CHAOS_SEEDS");
        var first = Number("MILLRACE_CHAOS_SEED") ?? (seeds is null ? Random.Shared.Next(1_000_000) : 1);
        var all = new ChaosResult();
        await System.Threading.Tasks.Parallel.ForEachAsync(
            Enumerable.Range(first, seeds ?? Slice),
            new ParallelOptions { MaxDegreeOfParallelism = Parallel },
            async (seed, _) =>
            {
                // One that fails is enough.
                if (all.Violations.Count > 0)
                    return;
                var result = await VirtualRun.RunAsync(seed);
                lock (all)
                    all.Add(result);
            });

        output.WriteLine(all.ToTable($"virtual, from seed {first} on"));
        Assert.True(all.Violations.Count == 0, string.Join('\n', all.Violations));
        Assert.True(all.Published > 0 && all.Settlements > 0 && all.Effects > 0);
    }

    private static int? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}
