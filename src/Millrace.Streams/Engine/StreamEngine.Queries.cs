namespace Millrace.Streams.Engine;

/// <summary>What can be asked. Nothing here changes anything; whoever asks has ticked first.</summary>
internal sealed partial class StreamEngine
{
    public StreamEntry[] Range(string stream, StreamRange range) =>
        FindStream(stream)?.Entries.Read(range.Start, range.End, range.Count, range.IsReversed) ?? [];

    /// <summary>The entries after an ID.</summary>
    public StreamEntry[] ReadAfter(string stream, EntryId after, int count) =>
        FindStream(stream) is { } found && found.Entries.LastId > after
            ? found.Entries.Read(after.Next(), EntryId.Max, count)
            : [];

    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    public PendingEntry[] Pending(string stream, string group, PendingQuery query, long nowMs)
    {
        var found = GetGroup(stream, group, out _);
        var minIdleMs = (long)Math.Ceiling(query.MinIdleTime.TotalMilliseconds);
        var pending = new List<PendingEntry>();
        if (query.Consumer is null)
        {
            foreach (var (id, entry) in found.Pending.From(query.Start, query.End))
            {
                if (!TryAdd(pending, id, entry, minIdleMs, nowMs, query.Count))
                    break;
            }
        }
        else if (found.FindConsumer(query.Consumer) is { } consumer)
        {
            foreach (var (id, _) in consumer.Held.From(query.Start, query.End))
            {
                if (!TryAdd(pending, id, found.Pending.Find(id), minIdleMs, nowMs, query.Count))
                    break;
            }
        }

        return [.. pending];
    }

    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    public PendingSummary PendingSummary(string stream, string group)
    {
        var found = GetGroup(stream, group, out _);
        if (found.Pending.Count == 0)
            return Streams.PendingSummary.None;

        return new()
        {
            Count = found.Pending.Count,
            MinId = found.Pending.FirstId,
            MaxId = found.Pending.LastId,
            CountByConsumer = found.Consumers.Where(consumer => consumer.Held.Count > 0)
                .ToDictionary(consumer => consumer.Name, consumer => consumer.Held.Count, StringComparer.Ordinal),
        };
    }

    public StreamInfo? Info(string stream) => FindStream(stream) is not { } found
        ? null
        : new()
        {
            Length = found.Entries.Count,
            LastGeneratedId = found.LastGeneratedId,
            MaxDeletedId = found.MaxDeletedId,
            EntriesAdded = found.EntriesAdded,
            GroupCount = found.Groups.Count,
            FirstEntry = found.Entries.First,
            LastEntry = found.Entries.Last,
        };

    public GroupInfo[] Groups(string stream) => FindStream(stream) is not { } found
        ? []
        : [.. found.Groups.OrderBy(group => group.Name, StringComparer.Ordinal).Select(group => new GroupInfo
        {
            Name = group.Name,
            ConsumerCount = group.Consumers.Count,
            PendingCount = group.Pending.Count,
            LastDeliveredId = group.LastDeliveredId,
            EntriesRead = group.EntriesRead,
            Lag = found.LagOf(group),
        })];

    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    public ConsumerInfo[] Consumers(string stream, string group, long nowMs) =>
        [.. GetGroup(stream, group, out _).Consumers.OrderBy(consumer => consumer.Name, StringComparer.Ordinal)
            .Select(consumer => new ConsumerInfo
            {
                Name = consumer.Name,
                PendingCount = consumer.Held.Count,
                IdleTime = TimeSpan.FromMilliseconds(Math.Max(0, nowMs - consumer.SeenMs)),
            })];

    public StateDocument? State(string key) => FindState(key) is { } found ? new(found.Version, found.Payload) : null;

    /// <summary>Adds a pending entry to the answer if it was idle long enough; false when the answer is full.</summary>
    private static bool TryAdd(List<PendingEntry> answer, EntryId id, Pending entry, long minIdleMs, long nowMs, int count)
    {
        var idleMs = entry.IdleMs(nowMs);
        if (idleMs >= minIdleMs)
            answer.Add(new(id, entry.Owner.Name, TimeSpan.FromMilliseconds(idleMs), entry.DeliveryCount));
        return answer.Count < count;
    }
}
