using System.Globalization;
using Millrace.Tests.Clients;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Crash;

/// <summary>
/// The device of <c>millrace serve</c> fails under load: a sync or a write comes back with EIO. From there on nothing is acknowledged, everybody is
/// told why, what is in memory can be read, and a restart finds everything that was acknowledged.
/// </summary>
public sealed class InjectedErrorTests(ITestOutputHelper output)
{
    private const int Writers = 4;

    [Theory]
    [InlineData("always", "fdatasync", 40)]
    [InlineData("everysec", "fdatasync", 2)] // The first of the thread that starts the server is not under load; there is one a second.
    [InlineData("always", "pwrite64", 60)]
    [InlineData("everysec", "pwrite64", 200)]
    public async Task Server_whose_device_fails_acknowledges_nothing_more_and_says_why(string sync, string call, int failing)
    {
        var directory = Directory.CreateTempSubdirectory("millrace-eio-").FullName;
        using var faults = new InjectedFaults(call, "EIO", failing.ToString(CultureInfo.InvariantCulture));
        try
        {
            var writers = Enumerable.Range(0, Writers).Select(number => new ServedWriter(number, number)).ToList();
            var check = new ServedCheck();
            await using (var broken = new MillraceServer("--data", directory, "--fsync", sync) { Wrapper = faults.Wrapper })
            {
                await broken.StartAgainAsync();
                await Task.WhenAll(writers.Select(writer => writer.RunAsync(broken.Endpoint, static () => { }))).WaitAsync(TimeSpan.FromMinutes(1));

                // Who had sent more than the command that failed may only see the connection end.
                var told = writers.Where(writer => writer.Error is not null).ToList();
                Assert.NotEmpty(told);
                Assert.All(told, writer => Assert.Matches("^(UNSYNCED|MISCONF) ", writer.Error));
                var toldAt = told.Min(writer => writer.ErrorAt);
                Assert.DoesNotContain(writers.SelectMany(writer => writer.History), acknowledged => acknowledged.SentAt > toldAt);

                using var client = new RawConnection(broken.Endpoint);
                var refusal = client.Ask("XADD", "other", "*", "f", "v");
                Assert.StartsWith("MISCONF ", refusal.Text, StringComparison.Ordinal);

                // Memory has what the journal lacks, and nobody may see that. A failed sync under everysec may have met no write under way.
                if ((sync, call) != ("everysec", "fdatasync"))
                    Assert.StartsWith("MISCONF ", client.Ask("XLEN", ServedLoad.Log).Text, StringComparison.Ordinal);
                Assert.Contains("aof_last_write_status:err", client.Ask("INFO", "persistence").Text, StringComparison.Ordinal);
                output.WriteLine(refusal.Text);
                await Eventually.TrueAsync(
                    "it says so on its standard error", () => new(broken.Output.Contains("takes no more writes", StringComparison.Ordinal)));
                Assert.Equal(1, await broken.StopAsync());
            }

            await using var restarted = await MillraceServer.StartAsync("--data", directory, "--fsync", sync);
            check.CheckExact(restarted.Endpoint, writers, "1");
            output.WriteLine($"--fsync {sync}: {faults.Count()} calls of {call} failed; {check}");
            check.AssertNothingWrong();
            Assert.True(faults.Count() > 0 && check.Acknowledged > 0);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
