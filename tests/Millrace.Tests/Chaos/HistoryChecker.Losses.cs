using Millrace.ChaosWorker;
using Millrace.Streams;

namespace Millrace.Tests.Chaos;

internal sealed partial class HistoryChecker
{
    /// <summary>A group notes once a second where it stands. What came later than this before a flush, nobody may know of.</summary>
    private const double LedgerMs = 2_000;

    /// <summary>Appended while a note was being made: perhaps not counted in it.</summary>
    private const ulong NoteMs = 250;

    /// <summary>
    /// What a group told against what is missing. After a flush it tells once, of a range: nothing above it is missing but what was new, nothing that
    /// is missing is below it, and the number is that of the unsettled entries in it. Without a flush there is nothing to tell.
    /// </summary>
    private void CheckLosses(GroupRule group)
    {
        var told = _losses.Where(loss => loss.Group == group.Name).ToList();
        var counted = _countedLosses.Count(loss => loss.Group == group.Name);
        if (counted != told.Count)
            Break(Promise.LossesTold, $"{group.Name} told {told.Count} losses, and counted {counted}");
        foreach (var loss in told.Where(loss => loss.Detail == nameof(StreamLossKind.PendingDeleted) || !_faults.Flushes.Any(flush => flush.AtMs < loss.AtMs)))
            Break(Promise.LossesTold, $"{group.Name} told of a loss that was none: {loss}");
        foreach (var flush in _faults.Flushes)
        {
            var ofFlush = told.Where(loss => loss.AtMs >= flush.AtMs).ToList();
            if (ofFlush is [var loss])
                CheckLoss(group, flush, loss);
            else if (ofFlush.Count > 1 || !(MayHaveNoWitness(group, flush) || _faults.MachineWasStuck(flush.AtMs - LedgerMs, flush.UntilMs + LedgerMs)))
                Break(Promise.LossesTold, $"{group.Name} told {ofFlush.Count} times of the flush at {flush.AtMs:F0} ms");
        }
    }

    /// <summary>
    /// Of an ordered group only the reader looks all the time, and those that stand by know what it noted. Where all but one end beside the flush, the
    /// last may have begun after it.
    /// </summary>
    private bool MayHaveNoWitness(GroupRule group, HistoryEvent flush) => group.IsOrdered &&
        _faults.MostDeaths(flush.AtMs - LedgerMs, flush.UntilMs + LedgerMs) +
        _faults.MostHandedOver(flush.AtMs - LedgerMs, flush.UntilMs + LedgerMs) >= ChaosWorkload.Workers - 1;

    private void CheckLoss(GroupRule group, HistoryEvent flush, HistoryEvent loss)
    {
        var (after, through) = (EntryId.Parse(loss.MissingAfter), EntryId.Parse(loss.MissingThrough));
        var before = _published.Values.Where(published => published.Begun.Stream == group.Stream && published.Begun.AtMs < flush.UntilMs).ToList();
        var lost = before.Where(published => published.Ended is { Entry.Length: > 0 } ended && ended.AtMs < flush.AtMs)
            .Select(published => (Job: published.Begun, published.Ended!.AtMs, Id: EntryId.Parse(published.Ended.Entry))).ToList();
        // What was to be tried again, or handed back, was not in the stream any more. It is counted in several calls: what moves while a busy machine
        // makes them may be missed by each.
        var noted = flush.AtMs - LedgerMs;
        var isBusy = _faults.MachineWasBusy(noted, flush.AtMs);
        var moved = lost.Where(entry => entry.Id <= after && !IsSettled(entry.Job) && !(isBusy && Handled(group, entry.Job).Exists(Since(noted)))).ToList();
        if (moved.Count > loss.MissingRetries)
            Break(
                Promise.LossesTold,
                $"{moved[0].Job.Message} ({moved[0].Id}) and {moved.Count - 1} more were flushed unsettled, and {group.Name} told of " +
                $"{loss.MissingRetries} retries and of what is above {after}");

        // A process knows what was noted when something moved there last.
        var moves = _handled.Where(handled => handled.Key.Group == group.Name).SelectMany(handled => handled.Value)
            .Where(happened => happened.Who == loss.Who && happened.AtMs < flush.AtMs).Select(happened => happened.AtMs).ToList();
        var knows = moves.Count == 0 ? 0 : moves.Max() - LedgerMs;
        foreach (var (job, atMs, id) in lost.Where(entry => entry.Id > through && entry.AtMs < knows))
        {
            if (!_faults.MachineWasBusy(atMs, flush.AtMs) && _faults.MostDeaths(atMs, flush.AtMs) == 0)
                Break(Promise.LossesTold, $"{job.Message} ({id}) was flushed, and {group.Name} told of what is up to {through} only");
        }

        // Outputs, delayed messages and those of unknown outcome have no ID here: then there is no lower bound, or a higher upper one. Those that were
        // published beside the flush may have been there before it. What failed is a retry, unless the group is ordered, and may be counted as such only.
        var inRange = lost.Where(entry => entry.Id > after && entry.Id <= through).ToList();
        var least = inRange.Count(entry => !IsSettled(entry.Job) && !IsRetried(entry.Job) && entry.Id.Milliseconds + NoteMs < through.Milliseconds);
        var most = inRange.Count + before.Count(published => published.Ended is not { Entry.Length: > 0 } ended
            || (ended.AtMs >= flush.AtMs && EntryId.Parse(ended.Entry) is var id && id > after && id <= through));
        if (group.Stream != ChaosWorkload.Outputs && loss.MissingCount is { } count && (count < least || count > most))
            Break(Promise.LossesTold, $"{group.Name} told of {count} entries in ({after}, {through}]; {least} to {most} are missing");

        static Predicate<HistoryEvent> Since(double ms) => happened => happened.AtMs > ms;

        bool IsRetried(HistoryEvent job) =>
            !group.IsOrdered && Handled(group, job).Exists(happened => happened.What == Happened.Fail && happened.AtMs < flush.UntilMs);

        bool IsSettled(HistoryEvent job) => Handled(group, job).Exists(happened => happened.AtMs < flush.UntilMs && IsLastEnd(group, job, happened));
    }
}
