using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

/// <summary>
/// Judges a run by its history and by what the store holds in the end. A pure function: a history can be judged again when the checker has learned
/// something.
/// </summary>
internal sealed partial class HistoryChecker
{
    /// <summary>The store's clock and ours count whole milliseconds each.</summary>
    private const double ClockMs = 2;

    /// <summary>The reason of dead letters that were delivered too often; also in their headers.</summary>
    private const string DeliveryLimit = "delivery limit";

    private readonly StoreTruth _truth;
    private readonly ChaosFaults _faults;
    private readonly List<Violation> _violations = [];
    private readonly Dictionary<string, Publication> _published = [];
    private readonly Dictionary<(string Group, string Message), List<HistoryEvent>> _handled;
    private readonly Dictionary<(string Group, string Entry, string Worker), int> _conflicts;
    private readonly List<Settlement> _settlements;
    private readonly ILookup<(string Stream, string Group, string Entry), HistoryEvent> _delivered;
    private readonly List<HistoryEvent> _losses;
    private readonly List<HistoryEvent> _countedLosses;

    private HistoryChecker(IReadOnlyList<HistoryEvent> history, StoreTruth truth, double leaseMs)
    {
        _truth = truth;
        _faults = new(history, leaseMs);
        _handled = history.Where(happened => happened.What is Happened.Begin or Happened.Fail or Happened.End)
            .GroupBy(happened => (happened.Group, happened.Message))
            .ToDictionary(group => group.Key, group => group.OrderBy(happened => happened.AtMs).ToList());
        _conflicts = history.Where(happened => happened.What == Happened.Conflict)
            .CountBy(happened => (happened.Group, happened.Entry, happened.Who)).ToDictionary();
        _settlements = SettlementsOf(history);
        _delivered = history.Where(happened => happened.What == Happened.Delivered).ToLookup(EntryOf);
        _losses = [.. history.Where(happened => happened.What == Happened.Loss)];
        _countedLosses = [.. history.Where(happened => happened.What == Happened.LossCounted)];
        foreach (var publish in history.Where(happened => happened.What == Happened.Publish))
            _published.Add(publish.Message, new() { Begun = publish });
        foreach (var end in history.Where(happened => happened.What is Happened.Published or Happened.PublishUnknown or Happened.PublishRefused))
            _published[end.Message].Ended = end;
    }

    /// <summary>Every broken promise of a run; none for a good one.</summary>
    public static IReadOnlyList<Violation> Check(IReadOnlyList<HistoryEvent> history, StoreTruth truth, TimeSpan lease)
    {
        var checker = new HistoryChecker(history, truth, lease.TotalMilliseconds);
        checker.CheckPublishes();
        checker.CheckSettlements();
        foreach (var group in GroupRule.All)
        {
            checker.CheckGroup(group);
            checker.CheckLosses(group);
            if (group.IsOrdered)
                checker.CheckOrder(group);
        }

        foreach (var leftover in truth.Leftovers)
            checker.Break(Promise.NothingLeft, leftover);
        return checker._violations;
    }

    private void CheckPublishes()
    {
        foreach (var (message, publication) in _published)
        {
            var stored = _truth.Streams[publication.Begun.Stream].Count(entry => entry.Message == message);
            var (least, most) = ExpectedIn(publication);
            if (stored < least)
                Break(Promise.NothingLost, $"{message}, acknowledged at {publication.Ended?.AtMs:F0} ms, is not in the stream");
            if (stored > most)
                Break(
                    most == 0 ? Promise.NothingMadeUp : Promise.EffectsOnce,
                    $"{message} is in the stream {stored} times, at most {most} expected ({publication.Ended?.What})");
        }

        foreach (var (stream, entries) in _truth.Streams)
        {
            foreach (var entry in entries.Where(entry => entry.Cause.Length == 0 && !_published.ContainsKey(entry.Message)))
                Break(Promise.NothingMadeUp, $"{entry.Message} in {stream} was never published");
        }
    }

    /// <summary>How often a message is in its stream: as its publisher was told, unless the store was emptied.</summary>
    private (int Least, int Most) ExpectedIn(Publication publication)
    {
        var endMs = publication.Ended?.AtMs ?? double.MaxValue;
        if (publication.Ended is not { What: Happened.Published })
            return (0, publication.Ended is { What: Happened.PublishRefused } ? 0 : 1);
        if (_faults.Flushes.Any(flush => endMs < flush.AtMs))
            return (0, 0);
        return _faults.Flushes.Any(flush => publication.Begun.AtMs < flush.UntilMs) ? (0, 1) : (1, 1);
    }

    private void CheckGroup(GroupRule group)
    {
        foreach (var entry in _truth.Streams[group.Stream])
            CheckMessage(group, entry);
        foreach (var letter in _truth.DeadLetters[group.Name].Where(letter => !IsStored(group, letter.Message)))
            Break(Promise.DeadLettersRight, $"{letter.Message} is a dead letter of {group.Name} and was not in its stream");
        foreach (var ((_, message), handled) in _handled.Where(handled => handled.Key.Group == group.Name))
            CheckDeliveries(group, message, handled);
        foreach (var message in _truth.Ledgers.Where(ledger => ledger.Key.Group == group.Name).SelectMany(ledger => ledger.Value))
        {
            if (!IsStored(group, message))
                Break(Promise.NothingMadeUp, $"the state of {group.Name} has {message}, which is not in {group.Stream}");
        }

        if (group.Outputs is not { } outputs)
            return;
        CheckOutputs(group, outputs);
        foreach (var output in _truth.Streams[outputs].Where(output => output.Cause.Length > 0 && !IsStored(group, output.Cause)))
            Break(Promise.NothingMadeUp, $"{outputs} has an output of {output.Cause}, which is not in {group.Stream}");
    }

    private bool IsStored(GroupRule group, string message) => _truth.Streams[group.Stream].Any(entry => entry.Message == message);

    /// <summary>One message of the stream, in one group: handled to its end with its effects, or dead.</summary>
    private void CheckMessage(GroupRule group, StoredMessage entry)
    {
        var message = entry.Message;
        var job = _published.GetValueOrDefault(message)?.Begun;
        var kind = job is null ? JobKind.Works : Enum.Parse<JobKind>(job.Detail);
        var lastAttempt = job?.Attempt ?? 1;
        var isKiller = kind == JobKind.Kills && job!.Group == group.Name;
        var isGivenUp = isKiller || kind is JobKind.FailsAlways or JobKind.Rejected;
        var handled = _handled.GetValueOrDefault((group.Name, message)) ?? [];

        var ends = handled.Where(happened => happened.What == Happened.End).ToList();
        if (!isGivenUp && ends.Count == 0)
            Break(Promise.EverythingHandled, $"{message} was not handled to its end in {group.Name}");
        if (ends.Exists(end => isGivenUp || end.Attempt != lastAttempt))
            Break(Promise.AttemptsCounted, $"{message} ended in {group.Name} with attempt {ends[0].Attempt}, not {lastAttempt} ({kind})");

        var expected = isGivenUp ? 0 : 1;
        if (group.HasLedger)
            CheckCount(group, message, "state", LedgerEntries(group, message), expected);
        if (group.Outputs is { } outputs)
        {
            var made = _truth.Streams[outputs].Where(output => output.Cause == message).ToList();
            CheckCount(group, message, "output", made.Count, expected);
            if (made.Exists(output => output.Attempt != lastAttempt))
                Break(Promise.AttemptsCounted, $"the output of {message} is of attempt {made[0].Attempt}, not {lastAttempt}");
        }

        var letters = _truth.DeadLetters[group.Name].Where(letter => letter.Message == message).ToList();
        if (letters.Count != 1 - expected)
            Break(Promise.DeadLettersRight, $"{message} ({kind}) has {letters.Count} dead letters in {group.Name}: {letters.FirstOrDefault()}");
        if (isGivenUp && letters.Exists(letter => letter.Attempt != lastAttempt))
            Break(Promise.AttemptsCounted, $"{message} died in {group.Name} after attempt {letters[0].Attempt}, not {lastAttempt}");
        if (isKiller)
            CheckKiller(group, job!, handled, letters);
    }

    private void CheckKiller(GroupRule group, HistoryEvent job, List<HistoryEvent> handled, List<StoredLetter> letters)
    {
        var begins = handled.Where(happened => happened.What == Happened.Begin).ToList();
        var runs = begins.Select(begin => begin.Deliveries).Distinct().Count();
        if (begins.Exists(begin => begin.Deliveries > group.MaxDeliveries) || begins.Count > group.MaxDeliveries)
            Break(Promise.KillersEnd, $"{job.Message} ran {begins.Count} times in {group.Name}, at most {group.MaxDeliveries} expected");
        var last = begins.Count == 0 ? job.AtMs : begins.Max(begin => begin.AtMs);
        if (runs + _faults.MostDeathsBesideKillers(job.AtMs, last) < group.MaxDeliveries)
            Break(Promise.KillersEnd, $"{job.Message} was given up in {group.Name} after {runs} deaths, not {group.MaxDeliveries}");
        if (letters.Exists(letter => letter.Reason != DeliveryLimit))
            Break(Promise.KillersEnd, $"{job.Message} is a dead letter of {group.Name}, but for another reason: {letters[0].Reason}");
    }

    private int LedgerEntries(GroupRule group, string message) =>
        _truth.Ledgers.Where(ledger => ledger.Key.Group == group.Name).Sum(ledger => ledger.Value.Count(other => other == message));

    private void CheckCount(GroupRule group, string message, string effect, int count, int expected)
    {
        if (count != expected)
            Break(Promise.EffectsOnce, $"{message} has its {effect} {count} times in {group.Name}, not {expected}");
    }

    /// <summary>What handlers saw of one message, in the order of attempts and deliveries, which is not always that of time.</summary>
    private void CheckDeliveries(GroupRule group, string message, List<HistoryEvent> handled)
    {
        var begins = handled.Where(happened => happened.What == Happened.Begin)
            .OrderBy(begin => begin.Attempt).ThenBy(begin => begin.Deliveries).ThenBy(begin => begin.AtMs).ToList();
        var publish = _published.GetValueOrDefault(message)?.Begun;
        var publishedMs = publish?.AtMs ?? 0;

        HistoryEvent? before = null;
        foreach (var begin in begins)
        {
            var deaths = begin.Deliveries - (before?.Deliveries ?? 1);
            if (before is null || begin.Attempt > before.Attempt)
                CheckAttempt(group, begin, handled);
            if (before?.Attempt == begin.Attempt && deaths == 0)
                CheckSameDelivery(group, before, begin, begins);
            else if (before?.Attempt == begin.Attempt && !MayHaveLetGo(before, begin))
                Break(Promise.RedeliveryExplained, $"{message} was taken from {before.Who} in {group.Name}: {Describe(before)}, then {Describe(begin)}");

            var handedOver = group.IsOrdered ? _faults.MostHandedOver(before?.AtMs ?? publishedMs, begin.AtMs) : 0;
            if (deaths > 0 && deaths > handedOver + _faults.MostDeaths(before?.AtMs ?? publishedMs, begin.AtMs))
                Break(
                    Promise.RedeliveryExplained,
                    $"{message} has {deaths} more deliveries in {group.Name} than any fault explains: {Describe(before)}, then {Describe(begin)}");
            if (deaths < 0)
                Break(Promise.RedeliveryExplained, $"deliveries of {message} were forgotten in {group.Name}: {Describe(before)}, then {Describe(begin)}");
            before = begin;
        }

        if (publish is not null && begins.MinBy(begin => begin.AtMs) is { } first && first.AtMs < publish.UntilMs - ClockMs &&
            !_faults.ClockWasSet(publish.AtMs, first.AtMs))
            Break(Promise.NotEarly, $"{message} was handled {publish.UntilMs - first.AtMs:F0} ms early in {group.Name}");
    }

    /// <summary>What was handed back may have died with a third worker that never began it: that death is counted all the same.</summary>
    private bool MayHaveLetGo(HistoryEvent before, HistoryEvent begin) =>
        _faults.MayHaveLost(before.Who, before.AtMs, begin.AtMs) || _faults.MayHaveHandedBack(before.Who, before.AtMs, begin.AtMs);

    /// <summary>An attempt comes after the failure of the one before.</summary>
    private void CheckAttempt(GroupRule group, HistoryEvent begin, List<HistoryEvent> handled)
    {
        var failed = handled.Where(other => other.What == Happened.Fail && other.AtMs <= begin.AtMs).Select(fail => fail.Attempt).ToHashSet();
        for (var attempt = 1; attempt < begin.Attempt; attempt++)
        {
            if (!failed.Contains(attempt))
                Break(Promise.AttemptsCounted, $"{begin.Message} is at attempt {begin.Attempt} in {group.Name}, and attempt {attempt} never failed");
        }
    }

    /// <summary>The same delivery begins twice only when the state it read had changed, or when it was handed back in the middle.</summary>
    private void CheckSameDelivery(GroupRule group, HistoryEvent before, HistoryEvent begin, List<HistoryEvent> begins)
    {
        if (before.Entry != begin.Entry || before.Who != begin.Who)
        {
            if (!_faults.MayHaveHandedBack(before.Who, before.AtMs, begin.AtMs))
                Break(Promise.RedeliveryExplained, $"{begin.Message} began twice in {group.Name}: {Describe(before)}, then {Describe(begin)}");
            return;
        }

        // The attempt, too: after a clock went back a retry may get, in its own stream, the ID of the entry it is a copy of.
        var runs = begins.Count(other => other.Who == begin.Who &&
            (other.Entry, other.Deliveries, other.Attempt) == (begin.Entry, begin.Deliveries, begin.Attempt));
        if (runs - 1 > _conflicts.GetValueOrDefault((group.Name, begin.Entry, begin.Who)) &&
            !_faults.MayHaveHandedBack(before.Who, before.AtMs, begin.AtMs))
            Break(Promise.RedeliveryExplained, $"{begin.Message} ran {runs} times in one delivery in {group.Name}: {Describe(begin)}");
    }

    private static string Describe(HistoryEvent? begin) => begin is null
        ? "nothing"
        : $"{begin.Entry} delivery {begin.Deliveries} attempt {begin.Attempt} at {begin.Who} at {begin.AtMs:F0} ms";

    private void Break(Promise promise, string text) => _violations.Add(new(promise, text));

    private sealed class Publication
    {
        public required HistoryEvent Begun { get; init; }

        public HistoryEvent? Ended { get; set; }
    }
}
