using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

/// <summary>What came of one run, and of many.</summary>
internal sealed class ChaosResult
{
    private readonly SortedDictionary<ChaosFault, int> _faults = [];

    public int Runs { get; private set; }

    public List<string> Violations { get; } = [];

    public int Published { get; private set; }

    public int Unknown { get; private set; }

    public int Refused { get; private set; }

    public int Deliveries { get; private set; }

    public int Redeliveries { get; private set; }

    public int Settlements { get; private set; }

    public int SettlementsRefused { get; private set; }

    public int Effects { get; private set; }

    public int DeadLetters { get; private set; }

    public int Losses { get; private set; }

    public IReadOnlyDictionary<ChaosFault, int> Faults => _faults;

    public static ChaosResult Of(IReadOnlyList<HistoryEvent> history, StoreTruth truth, IEnumerable<string> violations)
    {
        var result = new ChaosResult { Runs = 1 };
        result.Violations.AddRange(violations);
        result.Published = history.Count(happened => happened.What == Happened.Published);
        result.Unknown = history.Count(happened => happened.What == Happened.PublishUnknown);
        result.Refused = history.Count(happened => happened.What == Happened.PublishRefused);
        result.Deliveries = history.Count(happened => happened.What == Happened.Begin);
        result.Redeliveries = history.Count(happened => happened is { What: Happened.Begin, Deliveries: > 1 });
        result.Settlements = history.Count(happened => happened.What == Happened.Settled);
        result.SettlementsRefused = history.Count(happened => happened.What == Happened.SettleRefused);
        result.Effects = truth.Ledgers.Values.Sum(ledger => ledger.Count) + truth.Streams.Values.Sum(stream => stream.Count(entry => entry.Cause.Length > 0));
        result.DeadLetters = truth.DeadLetters.Values.Sum(letters => letters.Count);
        result.Losses = history.Count(happened => happened.What == Happened.Loss);
        foreach (var fault in history.Where(happened => happened.What == Happened.Fault))
            result.Count(Enum.Parse<ChaosFault>(fault.Detail), 1);
        return result;
    }

    /// <summary>Keeps the history of a run that failed where <c>MILLRACE_CHAOS_KEEP</c> says.</summary>
    public static async Task KeepAsync(string name, IEnumerable<HistoryEvent> history, IEnumerable<string> violations)
    {
        if (Environment.GetEnvironmentVariable("MILLRACE_CHAOS_KEEP") is not { Length: > 0 } directory)
            return;
        Directory.CreateDirectory(directory);
        await File.WriteAllLinesAsync(
            Path.Combine(directory, $"{name}.txt"), violations.Concat(history.OrderBy(happened => happened.AtMs).Select(happened => happened.ToString())));
    }

    public void Add(ChaosResult other)
    {
        Runs += other.Runs;
        Violations.AddRange(other.Violations);
        Published += other.Published;
        Unknown += other.Unknown;
        Refused += other.Refused;
        Deliveries += other.Deliveries;
        Redeliveries += other.Redeliveries;
        Settlements += other.Settlements;
        SettlementsRefused += other.SettlementsRefused;
        Effects += other.Effects;
        DeadLetters += other.DeadLetters;
        Losses += other.Losses;
        foreach (var (kind, count) in other._faults)
            Count(kind, count);
    }

    /// <summary>The figures of many runs, as they go into a note.</summary>
    public string ToTable(string name)
    {
        IEnumerable<(string What, int Count)> rows =
        [
            ("runs", Runs), ("published", Published), ("publishes of unknown outcome", Unknown), ("publishes refused", Refused),
            ("deliveries", Deliveries), .. _faults.Select(fault => ($"fault: {fault.Key}", fault.Value)), ("redeliveries", Redeliveries),
            ("settlements applied", Settlements), ("settlements refused", SettlementsRefused),
            ("effects in the store", Effects), ("dead letters", DeadLetters), ("losses told", Losses), ("violations", Violations.Count),
        ];
        return string.Join('\n', [$"| {name} | |", "|---|---|", .. rows.Select(row => $"| {row.What} | {row.Count:N0} |")]);
    }

    public override string ToString() =>
        $"{Runs} runs, {Published} published, {Unknown} of unknown outcome, {Refused} refused, {Deliveries} deliveries, {Redeliveries} of them again, " +
        $"{Settlements} settlements applied and {SettlementsRefused} refused, {Effects} effects, {DeadLetters} dead letters, {Losses} losses told; " +
        $"{string.Join(", ", _faults.Select(fault => $"{fault.Key} {fault.Value}"))}; " +
        $"{Violations.Count} violations";

    private void Count(ChaosFault kind, int count) => _faults[kind] = _faults.GetValueOrDefault(kind) + count;
}
