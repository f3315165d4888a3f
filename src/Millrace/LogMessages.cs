using Microsoft.Extensions.Logging;
using Millrace.Consuming;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace;

/// <summary>Everything the framework logs. Never the content of a message.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(EventIds.HandlerFailed, LogLevel.Warning,
        "Entry {EntryId} of {Stream} failed in group {Group} and is tried again in {Delay}.")]
    public static partial void HandlerFailed(
        ILogger logger, Exception exception, string stream, string group, EntryId entryId, TimeSpan delay);

    [LoggerMessage(EventIds.DeadLettered, LogLevel.Error,
        "Entry {EntryId} of {Stream} goes to the dead letters of group {Group}: {Reason}")]
    public static partial void DeadLettered(
        ILogger logger, Exception? exception, string stream, string group, EntryId entryId, string reason);

    [LoggerMessage(EventIds.Abandoned, LogLevel.Debug, "Entry {EntryId} of {Stream} is left pending in group {Group}.")]
    public static partial void Abandoned(ILogger logger, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.LeaseLost, LogLevel.Debug,
        "Entry {EntryId} of {Stream} is no longer held in group {Group}; its effects are dropped.")]
    private static partial void LeaseLost(ILogger logger, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.SettlementUnknown, LogLevel.Debug,
        "Entry {EntryId} of {Stream} is no longer held in group {Group}; an answer about it was lost: it is settled, or its effects are dropped.")]
    private static partial void SettlementUnknown(ILogger logger, string stream, string group, EntryId entryId);

    /// <summary>What is known of an entry that the store says is not this process's any more.</summary>
    public static void NotHeld(ILogger logger, GroupPlan plan, Delivery delivery)
    {
        if (delivery.IsInDoubt)
            SettlementUnknown(logger, delivery.Stream, plan.Group, delivery.Id);
        else
            LeaseLost(logger, delivery.Stream, plan.Group, delivery.Id);
    }

    [LoggerMessage(EventIds.HandedBack, LogLevel.Information, "Handed {Count} entries of {Stream} back to group {Group}.")]
    public static partial void HandedBack(ILogger logger, string stream, string group, int count);

    [LoggerMessage(EventIds.HandBackFailed, LogLevel.Warning,
        "Could not hand {Count} entries of {Stream} back to group {Group}; they stay pending.")]
    public static partial void HandBackFailed(ILogger logger, Exception exception, string stream, string group, int count);

    [LoggerMessage(EventIds.SettlementRetried, LogLevel.Debug,
        "Settling entry {EntryId} of {Stream} in group {Group} failed and is repeated.")]
    public static partial void SettlementRetried(ILogger logger, Exception exception, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.SettlementFailed, LogLevel.Error,
        "Entry {EntryId} of {Stream} cannot be settled in group {Group}; it stays pending.")]
    public static partial void SettlementFailed(ILogger logger, Exception exception, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.GroupRecreated, LogLevel.Warning, "Group {Group} of {Stream} was gone and is made again: {Position}.")]
    public static partial void GroupRecreated(ILogger logger, string stream, string group, string position);

    [LoggerMessage(EventIds.ReadFailed, LogLevel.Warning, "Group {Group} cannot read {Stream} and goes on trying.")]
    public static partial void ReadFailed(ILogger logger, Exception exception, string stream, string group);

    [LoggerMessage(EventIds.RecoveryFailed, LogLevel.Warning,
        "Group {Group} cannot take over pending entries of {Stream} and goes on trying.")]
    public static partial void RecoveryFailed(ILogger logger, Exception exception, string stream, string group);

    [LoggerMessage(EventIds.Recovered, LogLevel.Information, "Group {Group} took over {Count} pending entries of {Stream}.")]
    public static partial void Recovered(ILogger logger, string stream, string group, int count);

    [LoggerMessage(EventIds.ExtendFailed, LogLevel.Warning, "Group {Group} cannot renew the lease of {Count} entries of {Stream}.")]
    public static partial void ExtendFailed(ILogger logger, Exception exception, string stream, string group, int count);

    [LoggerMessage(EventIds.WorkerStarted, LogLevel.Information, "Group {Group} reads {Stream} as {Consumer}.")]
    public static partial void WorkerStarted(ILogger logger, string stream, string group, string consumer);

    [LoggerMessage(EventIds.InstanceNameIsRandom, LogLevel.Information,
        "This process is {Consumer} until it stops. With an InstanceName that it has after a restart, too, it finds what it left pending at once.")]
    public static partial void InstanceNameIsRandom(ILogger logger, string consumer);

    [LoggerMessage(EventIds.WorkerStopped, LogLevel.Information, "Group {Group} stopped reading {Stream}.")]
    public static partial void WorkerStopped(ILogger logger, string stream, string group);

    [LoggerMessage(EventIds.DrainCutShort, LogLevel.Warning,
        "{Count} handlers of {Stream} in group {Group} are cancelled: the time to drain is over.")]
    public static partial void DrainCutShort(ILogger logger, string stream, string group, int count);

    [LoggerMessage(EventIds.FailedAfterSettling, LogLevel.Warning,
        "The handler of entry {EntryId} of {Stream} in group {Group} failed after it settled.")]
    public static partial void FailedAfterSettling(ILogger logger, Exception exception, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.CommitConflict, LogLevel.Debug,
        "Entry {EntryId} of {Stream} runs again in group {Group}: it no longer holds that {Condition}.")]
    public static partial void CommitConflict(ILogger logger, string stream, string group, EntryId entryId, CommitCondition condition);

    [LoggerMessage(EventIds.UndecodableIgnored, LogLevel.Warning,
        "Entry {EntryId} of {Stream} is acknowledged unread in group {Group}: {Reason}")]
    public static partial void UndecodableIgnored(
        ILogger logger, Exception? exception, string stream, string group, EntryId entryId, string reason);

    [LoggerMessage(EventIds.GroupHalted, LogLevel.Critical,
        "Group {Group} stops reading {Stream} until a restart: it cannot decode entry {EntryId} ({Reason}).")]
    public static partial void GroupHalted(
        ILogger logger, Exception? exception, string stream, string group, EntryId entryId, string reason);

    [LoggerMessage(EventIds.DuplicateSkipped, LogLevel.Debug,
        "Entry {EntryId} of {Stream} is acknowledged: group {Group} has handled its message already.")]
    public static partial void DuplicateSkipped(ILogger logger, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.ReaderTookLease, LogLevel.Information, "{Consumer} is the reader of {Stream} in the ordered group {Group}.")]
    public static partial void ReaderTookLease(ILogger logger, string stream, string group, string consumer);

    [LoggerMessage(EventIds.ReaderLeft, LogLevel.Information, "The ordered group {Group} of {Stream} is left to the next reader.")]
    public static partial void ReaderLeft(ILogger logger, string stream, string group);

    [LoggerMessage(EventIds.ReaderLeaseLost, LogLevel.Warning,
        "This process is no longer the reader of {Stream} in the ordered group {Group}; what runs is cancelled and nothing of it written.")]
    public static partial void ReaderLeaseLost(ILogger logger, string stream, string group);

    [LoggerMessage(EventIds.ReaderRenewalFailed, LogLevel.Warning,
        "The lease of the reader of {Stream} in the ordered group {Group} cannot be renewed; it is tried again.")]
    public static partial void ReaderRenewalFailed(ILogger logger, Exception exception, string stream, string group);

    [LoggerMessage(EventIds.ReaderReleaseFailed, LogLevel.Warning,
        "The ordered group {Group} of {Stream} cannot be left; the next reader begins after the lease.")]
    public static partial void ReaderReleaseFailed(ILogger logger, Exception exception, string stream, string group);

    [LoggerMessage(EventIds.KeyParked, LogLevel.Error,
        "Entry {EntryId} of {Stream} failed for the last time in group {Group}; its key is parked until somebody resumes or skips it.")]
    public static partial void KeyParked(ILogger logger, Exception exception, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.KeyResumed, LogLevel.Information,
        "Entry {EntryId} of {Stream}, which keeps its key parked in group {Group}, is tried again for {By}.")]
    public static partial void KeyResumed(ILogger logger, string stream, string group, EntryId entryId, string by);

    [LoggerMessage(EventIds.KeySkipped, LogLevel.Warning,
        "Entry {EntryId} of {Stream}, which keeps its key parked in group {Group}, is skipped for {By}.")]
    public static partial void KeySkipped(ILogger logger, string stream, string group, EntryId entryId, string by);

    [LoggerMessage(EventIds.TurnFailed, LogLevel.Warning,
        "Entry {EntryId} of {Stream} cannot run in the ordered group {Group} and is tried again.")]
    public static partial void TurnFailed(ILogger logger, Exception exception, string stream, string group, EntryId entryId);

    [LoggerMessage(EventIds.OrderLimitReached, LogLevel.Error,
        "The ordered group {Group} reads nothing new from {Stream}: {Parked} keys are parked and {Waiting} entries wait behind others.")]
    public static partial void OrderLimitReached(ILogger logger, string stream, string group, int parked, int waiting);

    [LoggerMessage(EventIds.BreakerOpened, LogLevel.Error,
        "Handlers of {Stream} in group {Group} keep failing: the next one is tried in {Pause}.")]
    public static partial void BreakerOpened(ILogger logger, Exception exception, string stream, string group, TimeSpan pause);

    [LoggerMessage(EventIds.BreakerClosed, LogLevel.Information, "Handlers of {Stream} in group {Group} succeed again.")]
    public static partial void BreakerClosed(ILogger logger, string stream, string group);

    [LoggerMessage(EventIds.RateLimitFailed, LogLevel.Warning,
        "The store does not tell how many messages of {Stream} group {Group} may begin; none does, and it is asked again.")]
    public static partial void RateLimitFailed(ILogger logger, Exception exception, string stream, string group);

    [LoggerMessage(EventIds.SamplingFailed, LogLevel.Warning,
        "The store does not tell the figures about groups; metrics leave out what is not known, and it is asked again.")]
    public static partial void SamplingFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventIds.PresenceFailed, LogLevel.Warning,
        "The store does not take the documents of this process's consumers; others may think them dead. Tried again.")]
    public static partial void PresenceFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventIds.DeadConsumerDeleted, LogLevel.Information,
        "Consumer {Consumer} of group {Group} on {Stream} is dead; where it holds nothing it is deleted.")]
    public static partial void DeadConsumerDeleted(ILogger logger, string stream, string group, string consumer);

    [LoggerMessage(EventIds.LedgerFailed, LogLevel.Warning,
        "Where group {Group} of {Stream} stands cannot be noted; if the store loses it now, more is handled again. Tried again.")]
    public static partial void LedgerFailed(ILogger logger, Exception exception, string stream, string group);

    [LoggerMessage(EventIds.EntriesVanished, LogLevel.Error,
        "Entries of {Stream} vanished that group {Group} had not settled: those above {After} through {Through}, {Count} as far as is known, " +
        "and {Retries} retries.")]
    public static partial void EntriesVanished(
        ILogger logger, string stream, string group, EntryId after, EntryId through, long? count, long retries);

    [LoggerMessage(EventIds.PendingDeleted, LogLevel.Error,
        "{Count} entries of {Stream} were deleted while they were pending for group {Group}: {First} to {Last}.")]
    public static partial void PendingDeleted(ILogger logger, string stream, string group, int count, EntryId first, EntryId last);

    [LoggerMessage(EventIds.LossHandlerFailed, LogLevel.Error, "A handler of StreamLosses.Detected failed for group {Group} of {Stream}.")]
    public static partial void LossHandlerFailed(ILogger logger, Exception exception, string stream, string group);

    [LoggerMessage(EventIds.ChainBegun, LogLevel.Information, "The firings of the recurring message {Name} begin in {Stream}.")]
    public static partial void ChainBegun(ILogger logger, string name, string stream);

    [LoggerMessage(EventIds.ChainFailed, LogLevel.Warning, "Whether the recurring message {Name} has its next firing is not known; it is looked at again.")]
    public static partial void ChainFailed(ILogger logger, Exception exception, string name);

    [LoggerMessage(EventIds.RetentionFailed, LogLevel.Warning, "What is not kept of {Stream} cannot be dropped; tried again.")]
    public static partial void RetentionFailed(ILogger logger, Exception exception, string stream);

    [LoggerMessage(EventIds.RetentionDropped, LogLevel.Information, "{Count} entries of {Stream} are dropped; it is kept from {KeptFrom} on.")]
    public static partial void RetentionDropped(ILogger logger, long count, string stream, EntryId keptFrom);

    [LoggerMessage(EventIds.GroupAbandoned, LogLevel.Warning, "Group {Group} of {Stream} is abandoned: it has had no live consumer for too long.")]
    public static partial void GroupAbandoned(ILogger logger, string stream, string group);

    [LoggerMessage(EventIds.LanesMissed, LogLevel.Error, "{Error}")]
    public static partial void LanesMissed(ILogger logger, string error);

    [LoggerMessage(EventIds.LanesUnknown, LogLevel.Warning, "Which lanes streams have cannot be asked; tried again.")]
    public static partial void LanesUnknown(ILogger logger, Exception exception);
}
