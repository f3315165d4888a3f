namespace Millrace;

/// <summary>What a consumer is at in this process.</summary>
public enum WorkerState
{
    /// <summary>It makes its group and takes over what a previous run left.</summary>
    Starting,

    /// <summary>It reads, and the store answers.</summary>
    Reading,

    /// <summary>It is ready to read an ordered group as soon as the process that does stops or dies, see <see cref="ConsumerOptions.OrderedBy"/>.</summary>
    StandingBy,

    /// <summary>
    /// It reads nothing new: as many keys of its ordered group are parked, or entries wait behind them, as may. See
    /// <see cref="ConsumerOptions.MaxParkedKeys"/> and <see cref="ConsumerOptions.MaxWaitingEntries"/>.
    /// </summary>
    Full,

    /// <summary>The store failed it; it goes on trying.</summary>
    Failing,

    /// <summary>It was told to pause, see <see cref="ConsumerControl.Pause"/>.</summary>
    Paused,

    /// <summary>Its handlers failed so often that its breaker is open; it tries one message after each pause.</summary>
    Tripped,

    /// <summary>It met an entry it cannot decode and stopped reading, see <see cref="UndecodablePolicy.Stop"/>.</summary>
    Halted,

    /// <summary>It was told to stop.</summary>
    Stopping,

    /// <summary>It ended without having been told to: a mistake of ours, which only a restart heals.</summary>
    Died,
}
