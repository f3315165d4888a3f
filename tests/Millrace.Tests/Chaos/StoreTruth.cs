using System.Text.Json;
using Millrace.ChaosWorker;
using Millrace.Streams;

namespace Millrace.Tests.Chaos;

/// <summary>What a group of the workload promises.</summary>
/// <param name="Name">The group.</param>
/// <param name="Stream">Its stream.</param>
/// <param name="HasLedger">Whether each message it handles is in the state of a key.</param>
/// <param name="Outputs">The stream of its outputs, if it has any.</param>
/// <param name="IsOrdered">Whether the messages of a key run in order.</param>
/// <param name="MaxDeliveries">After how many deaths a message is a dead letter.</param>
internal sealed record GroupRule(
    string Name, string Stream, bool HasLedger, string? Outputs = null, bool IsOrdered = false, int MaxDeliveries = ChaosWorkload.ManyDeliveries)
{
    /// <summary>The groups of <see cref="ChaosWorkload"/>.</summary>
    public static IReadOnlyList<GroupRule> All { get; } =
    [
        new(ChaosWorkload.Work, ChaosWorkload.Jobs, HasLedger: true, ChaosWorkload.Outputs),
        new(ChaosWorkload.Audit, ChaosWorkload.Jobs, HasLedger: false),
        new(ChaosWorkload.Tally, ChaosWorkload.Outputs, HasLedger: true),
        new(ChaosWorkload.InOrder, ChaosWorkload.Jobs, HasLedger: true, IsOrdered: true),
        new(ChaosWorkload.Risk, ChaosWorkload.Risky, HasLedger: true, MaxDeliveries: ChaosWorkload.FewDeliveries),
        new(ChaosWorkload.RiskInOrder, ChaosWorkload.Risky, HasLedger: true, IsOrdered: true, MaxDeliveries: ChaosWorkload.FewDeliveries),
    ];
}

/// <summary>An entry of a stream of messages.</summary>
/// <param name="Message">Its message ID.</param>
/// <param name="Cause">The message that caused it, or empty.</param>
/// <param name="Attempt">Of an output: the attempt that was committed.</param>
/// <param name="Deliveries">Of an output: the delivery that was.</param>
internal sealed record StoredMessage(string Message, string Cause = "", int Attempt = 0, long Deliveries = 0);

/// <summary>A dead letter.</summary>
/// <param name="Message">Its message ID.</param>
/// <param name="Reason">Why it is one.</param>
/// <param name="Attempt">The last attempt.</param>
internal sealed record StoredLetter(string Message, string Reason, int Attempt);

/// <summary>What the store holds when everything has settled: what really happened.</summary>
internal sealed record StoreTruth
{
    /// <summary>The messages of each stream, in order.</summary>
    public required IReadOnlyDictionary<string, IReadOnlyList<StoredMessage>> Streams { get; init; }

    /// <summary>The messages in the state of each key of a group, in the order they were committed.</summary>
    public required IReadOnlyDictionary<(string Group, string Key), IReadOnlyList<string>> Ledgers { get; init; }

    /// <summary>The dead letters of each group.</summary>
    public required IReadOnlyDictionary<string, IReadOnlyList<StoredLetter>> DeadLetters { get; init; }

    /// <summary>What should not be there any more, in words.</summary>
    public required IReadOnlyList<string> Leftovers { get; init; }

    public static async Task<StoreTruth> ReadAsync(IStreamStore store)
    {
        var streams = new Dictionary<string, IReadOnlyList<StoredMessage>>();
        foreach (var stream in GroupRule.All.Select(group => group.Stream).Distinct())
            streams[stream] = [.. (await ReadAllAsync(store, stream)).Select(ToMessage)];

        var ledgers = new Dictionary<(string, string), IReadOnlyList<string>>();
        var letters = new Dictionary<string, IReadOnlyList<StoredLetter>>();
        foreach (var group in GroupRule.All)
        {
            if (group.HasLedger)
            {
                var keys = ChaosWorkload.Keys.Select(key => new StateKey(group.Stream, ChaosWorkload.LedgerOf(group.Name, key))).ToList();
                foreach (var (key, document) in ChaosWorkload.Keys.Zip(await store.GetStatesAsync(keys)))
                    ledgers[(group.Name, key)] = document is null ? [] : ToLedger(document);
            }

            letters[group.Name] = [.. (await ReadAllAsync(store, StreamNames.DeadLetters(group.Stream, group.Name))).Select(ToLetter)];
        }

        return new() { Streams = streams, Ledgers = ledgers, DeadLetters = letters, Leftovers = await FindLeftoversAsync(store) };
    }

    /// <summary>What the groups are not through with.</summary>
    public static async Task<IReadOnlyList<string>> FindLeftoversAsync(IStreamStore store)
    {
        var leftovers = new List<string>();
        foreach (var group in GroupRule.All)
        {
            var again = StreamNames.Again(group.Stream, group.Name);
            if (await store.GetStreamInfoAsync(again) is { Length: > 0 } waiting)
                leftovers.Add($"{waiting.Length} entries wait in {again}");
            foreach (var stream in (string[])[group.Stream, again])
            {
                if (await store.GetScheduleAsync(stream) is { Count: > 0 } schedule)
                    leftovers.Add($"{schedule.Count} entries of {stream} are scheduled");
                var last = (await store.GetStreamInfoAsync(stream))?.LastGeneratedId ?? EntryId.Zero;
                var info = (await store.GetGroupsAsync(stream)).FirstOrDefault(info => info.Name == group.Name);
                if (info is null)
                    leftovers.Add($"{stream} has no group {group.Name}");
                else if (info.PendingCount > 0)
                    leftovers.Add($"{info.PendingCount} entries of {stream} are pending in {group.Name}");
                else if (info.LastDeliveredId < last && stream == group.Stream)
                    leftovers.Add($"{group.Name} has not read all of {stream}");
            }
        }

        return leftovers;
    }

    private static async Task<IReadOnlyList<StreamEntry>> ReadAllAsync(IStreamStore store, string stream)
    {
        const int PageSize = 1_000;
        var entries = new List<StreamEntry>();
        IReadOnlyList<StreamEntry> page;
        do
        {
            var start = entries.Count == 0 ? EntryId.Zero : entries[^1].Id.Next();
            page = await store.RangeAsync(stream, new() { Start = start, Count = PageSize });
            entries.AddRange(page);
        }
        while (page.Count == PageSize);

        return entries;
    }

    private static StoredMessage ToMessage(StreamEntry entry)
    {
        var headers = new MessageHeaders(entry.Id, entry.Fields);
        var done = headers.Type == "chaos.done"
            ? JsonSerializer.Deserialize<Done>(entry.Fields.GetText(EnvelopeFieldNames.Data)!, JsonSerializerOptions.Web)
            : null;
        return new(headers.MessageId, headers.CausationId ?? "", done?.Attempt ?? 0, done?.Deliveries ?? 0);
    }

    private static StoredLetter ToLetter(StreamEntry entry)
    {
        var headers = new MessageHeaders(entry.Id, entry.Fields);
        return new(headers.MessageId, headers.DeadReason ?? "", headers.Attempt);
    }

    private static List<string> ToLedger(StateDocument document) =>
        JsonSerializer.Deserialize<Ledger>(document.Payload.Span, JsonSerializerOptions.Web)!.Messages;
}
