namespace Millrace.EntityFrameworkCore;

/// <summary>What became of a row of the outbox. The numbers are in the database.</summary>
public enum OutboxRowState
{
    /// <summary>It waits for a relay.</summary>
    Waiting = 0,

    /// <summary>It is in the store, and kept for a while, see <see cref="OutboxOptions.KeepRelayed"/>.</summary>
    Relayed = 1,

    /// <summary>The store refused it too often; somebody has to look at it, see <see cref="Outbox{TDbContext}.RetryParkedAsync"/>.</summary>
    Parked = 2,
}
