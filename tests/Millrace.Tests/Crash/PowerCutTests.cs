using System.Globalization;
using Millrace.Tests.Clients;

namespace Millrace.Tests.Crash;

/// <summary>
/// The power of a real ext4 is cut while <c>millrace serve</c> writes to it under load: what no sync has brought to the device is gone, which a
/// killed process cannot show. Needs root for the loop device.
/// </summary>
/// <remarks><c>MILLRACE_POWER_CUTS=100</c> is the full run of each policy; <c>MILLRACE_CRASH_SEED=N</c> repeats the choices of one.</remarks>
[Collection(nameof(AloneCollection))]
public sealed class PowerCutTests(ITestOutputHelper output)
{
    private const int SliceCuts = 3;
    private const int Writers = 4;
    private const int DiskMegabytes = 64; // The full run writes some 25 MiB.

    /// <summary>What <c>everysec</c> may lose: a second until the sync begins, and half a one for the sync.</summary>
    private static readonly TimeSpan LossLimit = TimeSpan.FromSeconds(1.5);

    [Fact(Explicit = true)]
    public async Task Power_cut_with_fsync_always_loses_nothing_acknowledged()
    {
        var (cuts, random) = Start();
        using var disk = LoopDisk.CreateExt4(DiskMegabytes);
        var directory = Path.Combine(disk.Directory, "data");
        var writers = MakeWriters(random);
        var check = new ServedCheck();
        await using var server = await MillraceServer.StartAsync("--data", directory, "--fsync", "always");
        var fired = 0;
        for (; fired < cuts; fired++)
        {
            await CutAsync(server, disk, writers, random.Next(1, 500));
            check.CheckExact(server.Endpoint, writers, fired.ToString(CultureInfo.InvariantCulture));
        }

        output.WriteLine($"--fsync always: {fired} power cuts fired; {check}");
        await server.KillAsync();
        check.AssertNothingWrong();
        Assert.True(fired > 0 && check.Acknowledged >= cuts);
    }

    [Fact(Explicit = true)]
    public async Task Power_cut_with_fsync_everysec_loses_only_the_last_second_and_a_half()
    {
        var (cuts, random) = Start();
        using var disk = LoopDisk.CreateExt4(DiskMegabytes);
        var check = new ServedCheck();
        var worst = TimeSpan.Zero;
        var fired = 0;
        for (; fired < cuts; fired++)
        {
            // More than a second of work, so that there is something to lose and something to keep.
            if (await CutFreshAsync("everysec", disk, check, random, TimeSpan.FromMilliseconds(1100 + random.Next(1500)), fired) is { } loss && loss > worst)
                worst = loss;
        }

        output.WriteLine($"--fsync everysec: {fired} power cuts fired; {check}; at worst the last {worst.TotalMilliseconds:F0} ms");
        check.AssertNothingWrong();
        Assert.True(fired > 0 && check.Acknowledged > check.Lost);
        Assert.True(worst <= LossLimit, $"What was acknowledged {worst} before the cut is lost.");
    }

    /// <summary>The negative control: without it, nobody knows whether the other two could see a loss.</summary>
    [Fact(Explicit = true)]
    public async Task Power_cut_with_fsync_no_does_lose_what_was_acknowledged()
    {
        var (cuts, random) = Start();
        using var disk = LoopDisk.CreateExt4(DiskMegabytes);
        var check = new ServedCheck();
        var (fired, withLoss) = (0, 0);
        for (; fired < cuts; fired++)
        {
            if (await CutFreshAsync("no", disk, check, random, TimeSpan.FromMilliseconds(random.Next(50, 500)), fired) is not null)
                withLoss++;
        }

        output.WriteLine($"--fsync no: {fired} power cuts fired, {withLoss} of them with loss; {check}");
        check.AssertNothingWrong();

        // One cut may come when the kernel has just written everything.
        Assert.True(fired > 1 && withLoss >= (0.9 * fired) - 1, $"{withLoss} of {fired} power cuts lost anything: the cuts are not seen.");
    }

    /// <summary>A new directory for each cut, as what a lossy policy has lost cannot be told from later loss.</summary>
    /// <returns>How long before the cut the first lost operation was acknowledged.</returns>
    private static async Task<TimeSpan?> CutFreshAsync(string sync, LoopDisk disk, ServedCheck check, Random random, TimeSpan work, int round)
    {
        var directory = Path.Combine(disk.Directory, $"data-{round}");
        var writers = MakeWriters(random);
        await using var server = await MillraceServer.StartAsync("--data", directory, "--fsync", sync);
        var cutAt = await CutAsync(server, disk, writers, 1, work);
        var loss = check.CheckSuffix(server.Endpoint, writers, cutAt, round.ToString(CultureInfo.InvariantCulture));
        await server.KillAsync();
        Directory.Delete(directory, recursive: true);
        return loss;
    }

    /// <summary>Cuts the power under load, ends the process that has lost its disk, mounts the disk again, and starts a new one.</summary>
    /// <returns>The moment of the cut.</returns>
    private static async Task<long> CutAsync(MillraceServer server, LoopDisk disk, List<ServedWriter> writers, int operations, TimeSpan work = default)
    {
        var cutAt = 0L;
        await FaultRun.UntilAsync(server, writers, operations, async () =>
        {
            await Task.Delay(work, TimeProvider.System);

            // The kernel cuts a running system: a sync that is just under way may return without an error although its transaction was dropped.
            // Where there is no power, nobody hears of that.
            writers.ForEach(static writer => writer.CutOff());
            cutAt = TimeProvider.System.GetTimestamp();
            disk.CutPower();
            await server.KillAsync();
        });
        disk.MountAgain();
        await server.StartAgainAsync();
        return cutAt;
    }

    private static List<ServedWriter> MakeWriters(Random random) =>
        [.. Enumerable.Range(0, Writers).Select(number => new ServedWriter(number, random.Next()))];

    private (int Cuts, Random Random) Start()
    {
        var seed = FaultRun.Number("MILLRACE_CRASH_SEED", Random.Shared.Next());
        output.WriteLine($"seed {seed}");
        return (FaultRun.Number("MILLRACE_POWER_CUTS", SliceCuts), new(seed));
    }
}
