using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

/// <summary>What can be done to a run. The numbers in a history are these names.</summary>
internal enum ChaosFault
{
    /// <summary>kill -9 of a worker, until it is started again.</summary>
    Kill,

    /// <summary>SIGTERM of a worker, which hands back what it has not begun. No excuse for a redelivery that counts.</summary>
    Terminate,

    /// <summary>SIGSTOP of a worker for three leases, then SIGCONT.</summary>
    Freeze,

    /// <summary>kill -9 of the server, which starts again from its log.</summary>
    RestartServer,

    /// <summary>SIGSTOP of the server.</summary>
    PauseServer,

    /// <summary>The connections of a worker are closed.</summary>
    Cut,

    /// <summary>Nothing passes between a worker and the server.</summary>
    BlackHole,

    /// <summary>Replies come byte by byte.</summary>
    Trickle,

    /// <summary>kill -9 of the process that has the store and all workers in it.</summary>
    KillAll,

    /// <summary>The machine goes off, and what was not synced is lost.</summary>
    PowerCut,

    /// <summary>The wall clock is set. No excuse for a redelivery: leases follow another clock.</summary>
    ClockJump,

    /// <summary>The clock of a Redis is set forward. There leases follow it, so that all that is pending looks idle at once.</summary>
    RedisClockForward,

    /// <summary>The clock of a Redis is set back.</summary>
    RedisClockBack,

    /// <summary>Everything in the store is deleted.</summary>
    Flush,

    /// <summary>A message ended the process that handled it.</summary>
    Killer,

    /// <summary>A process got no processor for a while, or late answers. Nobody's doing, but seen.</summary>
    Stall,
}

/// <summary>The faults of a history, to say what they explain.</summary>
internal sealed class ChaosFaults(IEnumerable<HistoryEvent> history, double leaseMs)
{
    /// <summary>
    /// A fault is felt after its end: clients wait before they connect again, and a lease that could not be renewed runs out a lease later.
    /// </summary>
    private readonly double _afterMs = 2 * leaseMs;

    private readonly List<(ChaosFault Kind, HistoryEvent Event)> _faults =
        [.. history.Where(happened => happened.What == Happened.Fault).Select(fault => (Enum.Parse<ChaosFault>(fault.Detail), fault))];

    /// <summary>When the store was emptied.</summary>
    public IEnumerable<HistoryEvent> Flushes => _faults.Where(fault => fault.Kind == ChaosFault.Flush).Select(fault => fault.Event);

    /// <summary>Whether a worker may have lost what it held since then.</summary>
    public bool MayHaveLost(string worker, double fromMs, double untilMs) =>
        _faults.Exists(fault => TakesAway(fault.Kind) && Strikes(fault.Event, worker) && IsFelt(fault.Event, fromMs, untilMs));

    /// <summary>Whether a worker may have been told to hand back what it held since then.</summary>
    public bool MayHaveHandedBack(string worker, double fromMs, double untilMs) => _faults.Exists(fault =>
        fault.Kind == ChaosFault.Terminate && Strikes(fault.Event, worker) && IsFelt(fault.Event, fromMs, untilMs));

    /// <summary>How many deliveries of one entry may have come to nothing in that time.</summary>
    public int MostDeaths(double fromMs, double untilMs) =>
        _faults.Where(fault => IsFelt(fault.Event, fromMs, untilMs)).Sum(fault => Deaths(fault.Kind));

    /// <summary>
    /// How many deliveries of one entry of an ordered group may have ended before its handler began, because the reader was told to stop: the next one
    /// cannot know, and counts them.
    /// </summary>
    public int MostHandedOver(double fromMs, double untilMs) =>
        _faults.Count(fault => fault.Kind == ChaosFault.Terminate && IsFelt(fault.Event, fromMs, untilMs));

    /// <summary>Whether processes or the server got no processor in that time.</summary>
    public bool MachineWasBusy(double fromMs, double untilMs) =>
        _faults.Exists(fault => fault.Kind == ChaosFault.Stall && IsFelt(fault.Event, fromMs, untilMs));

    /// <summary>Whether the machine stood still for a whole lease in that time: calls ran out of time, and nothing may have been noted or told.</summary>
    public bool MachineWasStuck(double fromMs, double untilMs) => _faults.Exists(fault =>
        fault.Kind == ChaosFault.Stall && fault.Event.UntilMs - fault.Event.AtMs >= leaseMs && IsFelt(fault.Event, fromMs, untilMs));

    /// <summary>How often processes were ended in that time by what is no message.</summary>
    public int MostDeathsBesideKillers(double fromMs, double untilMs) =>
        _faults.Where(fault => fault.Kind != ChaosFault.Killer && IsFelt(fault.Event, fromMs, untilMs)).Sum(fault => Deaths(fault.Kind));

    /// <summary>The clock of the server was set in that time.</summary>
    public bool ClockWasSet(double fromMs, double untilMs) => _faults.Exists(fault =>
        fault.Kind is ChaosFault.ClockJump or ChaosFault.RedisClockForward or ChaosFault.RedisClockBack && IsFelt(fault.Event, fromMs, untilMs));

    /// <summary>In either order: a worker that was frozen begins what it had read long after the next owner has.</summary>
    private bool IsFelt(HistoryEvent fault, double oneMs, double otherMs) =>
        fault.AtMs <= Math.Max(oneMs, otherMs) && fault.UntilMs + _afterMs >= Math.Min(oneMs, otherMs);

    private static bool Strikes(HistoryEvent fault, string worker) => fault.Who == worker || fault.Who == HistoryEvent.Everybody;

    private static bool TakesAway(ChaosFault kind) => Deaths(kind) > 0;

    /// <summary>
    /// The delivery that is cut off; where the line is bad, also one whose answer is lost on the way, so that nobody knows of it.
    /// </summary>
    private static int Deaths(ChaosFault kind) => kind switch
    {
        ChaosFault.Terminate or ChaosFault.Flush or ChaosFault.ClockJump or ChaosFault.RedisClockBack => 0,
        ChaosFault.Kill or ChaosFault.KillAll or ChaosFault.PowerCut or ChaosFault.Freeze or ChaosFault.Stall => 1,
        ChaosFault.Killer or ChaosFault.RedisClockForward => 1,
        _ => 2,
    };
}
