using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Simulation;

/// <summary>What the simulation has found, each with as little around it as shows it.</summary>
public sealed class FoundBySimulationTests
{
    private static readonly EntryFields Fields = EntryFields.Create(("n", "1"));

    private readonly SimulatedDisk _disk = new();
    private readonly SimulatedTime _time = new();

    /// <summary>The name of the first segment was in the page cache only, the next start relied on it, and a power cut took the whole journal.</summary>
    [Fact]
    public async Task Start_that_was_killed_anywhere_leaves_nothing_that_a_power_cut_can_take_from_the_next_one()
    {
        var fired = 0;
        for (var operation = 1; operation <= 12; operation++)
        {
            var disk = new SimulatedDisk();
            var (_, killed) = Start(disk, SyncPolicy.Always, Plan(crash: (operation, FaultKind.CrashAfter)), out _);
            await Record.ExceptionAsync(() => killed.OpenAsync().AsTask());
            disk.Kill(new Random(operation), mayDroppedSurvive: true, (_, _) => { });
            var (device, store) = Start(disk, SyncPolicy.Always, Plan(), out _);
            var id = await store.AppendAsync("s", Fields);
            device.Kill();
            disk.CutPower(new Random(operation), (kind, _) => fired += kind is FaultKind.LostName or FaultKind.EarlyName ? 1 : 0);

            var (_, again) = Start(disk, SyncPolicy.Always, Plan(), out _);
            Assert.Equal([id], (await again.RangeAsync("s", new())).Select(entry => entry.Id));
        }

        // All names were synced by then.
        Assert.Equal(0, fired);
    }

    /// <summary>A failed write ended the syncs: what was acknowledged before it stayed unsynced for good.</summary>
    [Fact]
    public async Task Failed_write_does_not_keep_what_was_acknowledged_before_it_from_the_device()
    {
        var plan = Plan();
        var (device, store) = Start(_disk, SyncPolicy.EverySecond, plan, out var counts);
        var id = await store.AppendAsync("s", Fields);
        plan.Errors.Add(device.Operations + 1);
        await Assert.ThrowsAsync<StreamException>(() => store.AppendAsync("s", Fields).AsTask());
        _time.Advance(2_000);
        device.Kill();
        _disk.CutPower(new Random(1), (_, _) => { });

        var (_, again) = Start(_disk, SyncPolicy.EverySecond, Plan(), out _);
        Assert.Equal([id], (await again.RangeAsync("s", new())).Select(entry => entry.Id));
        Assert.Equal(1, counts[FaultKind.WriteError]);
    }

    /// <summary>What waited for room was written when there was room, and acknowledged, although a sync had failed meanwhile.</summary>
    [Fact]
    public async Task Sync_that_fails_while_the_device_is_full_ends_the_journal_for_good()
    {
        var plan = Plan();
        var (device, store) = Start(_disk, SyncPolicy.EverySecond, plan, out var counts);
        await store.AppendAsync("s", Fields);
        device.IsFull = true;
        await Assert.ThrowsAsync<StreamException>(() => store.AppendAsync("s", Fields).AsTask());
        device.IsFull = false;
        plan.Errors.Add(device.Operations + 1);
        _time.Advance(5_000);

        var failure = await Assert.ThrowsAsync<StreamException>(() => store.RangeAsync("s", new()).AsTask());
        Assert.Equal(StreamErrorCode.ReadOnly, failure.Code);
        Assert.Equal((1, 1), (counts[FaultKind.Full], counts[FaultKind.SyncError]));
    }

    private static LifePlan Plan((int At, FaultKind Kind) crash = default) => new()
    {
        Random = new(1),
        WorkloadSeed = 0,
        Operations = 0,
        Crash = crash,
        Errors = [],
        LocksHeld = int.MaxValue,
        FullAt = 0,
        Flips = 0,
        EndsByPowerCut = false,
        Closes = false,
    };

    private (SimulatedDevice Device, EmbeddedStreamStore Store) Start(SimulatedDisk disk, SyncPolicy sync, LifePlan plan, out FaultCounts counts)
    {
        counts = new();
        var device = new SimulatedDevice(disk, plan, plan.Random, counts, new());
        return (device, new(new EmbeddedStoreOptions { Sync = sync, Journal = new() { Aside = static work => work() } }, _time, null, () => device));
    }
}
