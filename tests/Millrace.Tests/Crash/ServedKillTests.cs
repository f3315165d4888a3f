using System.Globalization;
using Millrace.Tests.Clients;

namespace Millrace.Tests.Crash;

/// <summary>
/// <c>millrace serve</c> under the load of four connections, killed with SIGKILL again and again at points drawn from a seed, also while it
/// recovers, and looked at through RESP after each start. A killed process loses nothing it acknowledged, under any policy.
/// </summary>
/// <remarks><c>MILLRACE_CRASH_CYCLES=200</c> is the full run of each policy; <c>MILLRACE_CRASH_SEED=N</c> repeats the choices of one.</remarks>
public sealed class ServedKillTests(ITestOutputHelper output)
{
    private const int SliceCycles = 6;
    private const int Writers = 4;

    /// <summary>Of a kill in mid-start, in milliseconds: a start with its recovery takes about as long on a machine that is not busy.</summary>
    private const int StartMs = 600;

    [Theory]
    [InlineData("always")]
    [InlineData("everysec")]
    [InlineData("no")]
    public async Task Server_killed_under_load_loses_nothing_it_acknowledged_and_does_nothing_twice(string sync)
    {
        var cycles = FaultRun.Number("MILLRACE_CRASH_CYCLES", SliceCycles);
        var seed = FaultRun.Number("MILLRACE_CRASH_SEED", Random.Shared.Next());
        var random = new Random(seed);
        output.WriteLine($"seed {seed}");
        var directory = Directory.CreateTempSubdirectory("millrace-kill-").FullName;
        try
        {
            var writers = Enumerable.Range(0, Writers).Select(number => new ServedWriter(number, random.Next())).ToList();
            var check = new ServedCheck();
            var (kills, killsInStart) = (0, 0);
            await using var server = await MillraceServer.StartAsync("--data", directory, "--fsync", sync);
            for (var cycle = 0; cycle < cycles; cycle++)
            {
                var operations = random.Next(1, 1200);
                await FaultRun.UntilAsync(server, writers, operations, server.KillAsync);
                kills++;
                if (random.Next(4) == 0 && await IsKilledInStartAsync(server, random.Next(StartMs)))
                    killsInStart++;
                await server.StartAgainAsync();
                check.CheckExact(server.Endpoint, writers, cycle.ToString(CultureInfo.InvariantCulture));
            }

            output.WriteLine($"--fsync {sync}: {kills} kills fired under load, {killsInStart} while it started; {check}");
            check.AssertNothingWrong();
            Assert.All(writers, writer => Assert.Null(writer.Error));
            Assert.Equal(cycles, kills);
            Assert.True(check.Acknowledged >= cycles);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<bool> IsKilledInStartAsync(MillraceServer server, int delayMs)
    {
        var listening = server.Launch();
        await Task.WhenAny(listening, Task.Delay(TimeSpan.FromMilliseconds(delayMs), TimeProvider.System));
        var wasStarting = server.IsRunning && !listening.IsCompleted;
        await server.KillAsync();
        return wasStarting;
    }
}
