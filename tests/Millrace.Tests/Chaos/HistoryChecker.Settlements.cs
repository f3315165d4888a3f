using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

internal sealed partial class HistoryChecker
{
    private static List<Settlement> SettlementsOf(IReadOnlyList<HistoryEvent> history)
    {
        var ended = history.Where(happened => happened.What is Happened.Settled or Happened.SettleRefused)
            .ToDictionary(end => (end.Commit, EntryOf(end)));
        return [.. history.Where(happened => happened.What == Happened.Settle)
            .Select(begun => new Settlement(begun, ended.GetValueOrDefault((begun.Commit, EntryOf(begun)))))];
    }

    private void CheckSettlements()
    {
        var applied = _settlements.Where(settlement => settlement.Ended is { What: Happened.Settled }).ToList();
        foreach (var ofEntry in applied.GroupBy(settlement => EntryOf(settlement.Begun)))
        {
            var inTurn = ofEntry.OrderBy(settlement => settlement.Ended!.AtMs).ToList();
            foreach (var (one, other) in inTurn.Zip(inTurn.Skip(1)))
            {
                if (!WasFlushed(one.Begun.AtMs, other.Ended!.AtMs))
                    Break(Promise.SettledByItsHolder, $"{Describe(one)} and again: {Describe(other)}");
            }
        }

        foreach (var settlement in applied.Where(settlement => settlement.Begun.IsFenced))
            CheckHolder(settlement);
    }

    /// <summary>Somebody had a later delivery of the entry before the settlement even left: the store should not have applied it.</summary>
    private void CheckHolder(Settlement settlement)
    {
        var begun = settlement.Begun;
        var deliveries = _delivered[EntryOf(begun)]
            .Where(delivery => delivery.AtMs <= begun.AtMs && !WasFlushed(delivery.AtMs, settlement.Ended!.AtMs)).ToList();
        var own = begun.Count > 0 ? begun.Count : deliveries.Where(delivery => delivery.Who == begun.Who).Max(delivery => (long?)delivery.Count) ?? 0;
        if (deliveries.Find(delivery => delivery.Count > own && delivery.AtMs < begun.AtMs) is { } later)
            Break(
                Promise.SettledByItsHolder,
                $"{Describe(settlement)} was applied for delivery {own}, and {later.Who} had delivery {later.Count} since {later.AtMs:F0} ms");
    }

    /// <summary>A settlement of which nobody knows what became of it may have made the output, too.</summary>
    private void CheckOutputs(GroupRule group, string outputs)
    {
        var made = _settlements.Where(settlement => settlement.Begun.Group == group.Name && settlement.Ended is not { What: Happened.SettleRefused })
            .Select(settlement => (settlement.Begun.Message, settlement.Begun.Attempt, settlement.Begun.Deliveries)).ToHashSet();
        foreach (var output in _truth.Streams[outputs].Where(output => output.Cause.Length > 0))
        {
            if (!made.Contains((output.Cause, output.Attempt, output.Deliveries)))
                Break(
                    Promise.SettledByItsHolder,
                    $"the output of {output.Cause} is of delivery {output.Deliveries}, attempt {output.Attempt}, which {group.Name} did not settle");
        }
    }

    private bool WasFlushed(double fromMs, double untilMs) => _faults.Flushes.Any(flush => fromMs < flush.UntilMs && untilMs > flush.AtMs);

    private static (string Stream, string Group, string Entry) EntryOf(HistoryEvent happened) => (happened.Stream, happened.Group, happened.Entry);

    private static string Describe(Settlement settlement)
    {
        var begun = settlement.Begun;
        return $"{begun.Entry} of {begun.Stream} was settled in {begun.Group} by {begun.Who} at {begun.AtMs:F0} ms";
    }

    /// <param name="Begun">It leaves.</param>
    /// <param name="Ended">What the store said, if it did.</param>
    private sealed record Settlement(HistoryEvent Begun, HistoryEvent? Ended);
}
