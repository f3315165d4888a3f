using Millrace.Tests.Clients;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Crash;

/// <summary>
/// The disk of <c>millrace serve</c>, a tmpfs of two mebibytes, fills up under load: writes are refused, reads are answered, and when there is room
/// again the service goes on, without a restart and with one. Needs root to mount.
/// </summary>
public sealed class FullDiskTests(ITestOutputHelper output)
{
    private const int DiskKilobytes = 2048;
    private const int BallastBytes = 600 * 1024;
    private const int Writers = 4;

    [Theory(Explicit = true)]
    [InlineData("always")]
    [InlineData("everysec")]
    public async Task Server_on_a_full_disk_refuses_writes_and_loses_nothing_and_goes_on_when_there_is_room(string sync)
    {
        using var disk = LoopDisk.CreateTmpfs(DiskKilobytes);
        string[] ballast = [Path.Combine(disk.Directory, "ballast-1"), Path.Combine(disk.Directory, "ballast-2")];
        foreach (var file in ballast)
            await File.WriteAllBytesAsync(file, new byte[BallastBytes], TestContext.Current.CancellationToken);

        // No bursts: of several entries on their way, a later one may be taken after an earlier one was refused.
        var writers = Enumerable.Range(0, Writers).Select(number => new ServedWriter(number, number, longestBurst: 1)).ToList();
        var check = new ServedCheck();
        var refused = 0;
        await using var server = await MillraceServer.StartAsync("--data", Path.Combine(disk.Directory, "data"), "--fsync", sync);

        await FillAsync();
        File.Delete(ballast[0]);
        await TakesWritesAsync(server);
        check.CheckExact(server.Endpoint, writers, "in the same process");

        await FillAsync();
        await server.KillAsync();
        File.Delete(ballast[1]);
        await server.StartAgainAsync();
        await TakesWritesAsync(server);
        check.CheckExact(server.Endpoint, writers, "after a restart");
        await server.KillAsync();

        output.WriteLine($"--fsync {sync}: the disk was full 2 times, {refused} writes were refused; {check}");
        check.AssertNothingWrong();
        Assert.True(refused >= 2 && check.Acknowledged > 0);

        async Task FillAsync()
        {
            await Task.WhenAll(writers.Select(writer => writer.RunAsync(server.Endpoint, static () => { }))).WaitAsync(TimeSpan.FromMinutes(2));
            var told = writers.Where(writer => writer.Error is not null).ToList();
            Assert.NotEmpty(told);
            Assert.All(told, writer => Assert.Matches("^(UNSYNCED|MISCONF) ", writer.Error));
            refused += told.Count;

            using var client = new RawConnection(server.Endpoint);
            Assert.StartsWith("MISCONF ", client.Ask("XLEN", ServedLoad.Log).Text, StringComparison.Ordinal);
            Assert.Contains("aof_last_write_status:err", client.Ask("INFO", "persistence").Text, StringComparison.Ordinal);
        }
    }

    private static Task TakesWritesAsync(MillraceServer server) => Eventually.TrueAsync("the server takes writes again", () =>
    {
        using var client = new RawConnection(server.Endpoint);
        return new(!client.Ask("XADD", "other", "*", "f", "v").IsError);
    });
}
