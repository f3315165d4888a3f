using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Chaos;

/// <summary>An embedded store on a simulated disk, in a process that can die: between two operations of its device, or in the middle of one.</summary>
internal sealed class MortalStore
{
    private readonly SimulatedDevice _device;

    /// <param name="disk">What outlives it.</param>
    /// <param name="random">The dice.</param>
    /// <param name="crashAt">The operation in which the process dies; 0 for none.</param>
    /// <param name="options">Of the store.</param>
    /// <param name="time">Its clock.</param>
    public MortalStore(SimulatedDisk disk, Random random, int crashAt, EmbeddedStoreOptions options, TimeProvider time)
    {
        var life = new LifePlan
        {
            Random = new(random.Next()),
            WorkloadSeed = 0,
            Operations = 0,
            Crash = (crashAt, (Simulation.FaultKind)random.Next((int)Simulation.FaultKind.CrashBefore, (int)Simulation.FaultKind.CrashAfter + 1)),
            Errors = [],
            LocksHeld = int.MaxValue,
            FullAt = 0,
            Flips = 0,
            EndsByPowerCut = false,
            Closes = false,
        };
        _device = new(disk, life, life.Random, new(), new());
        Store = new(options, time, null, () => new LockedDevice(_device));
    }

    public EmbeddedStreamStore Store { get; }

    public bool IsAlive => !_device.IsDead;

    public void Kill() => _device.Kill();

    public async Task CloseAsync()
    {
        try
        {
            await Store.DisposeAsync();
        }
        catch (StreamException)
        {
            // The device is gone, and with it what the store would still write.
        }
    }
}
