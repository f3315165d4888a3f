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
        var walk = query.Consumer is null ? found.Pending.From(query.Start, query.End)
            : found.FindConsumer(query.Consumer) is { } consumer ? found.Pending.HeldBy(consumer, query.Start, query.End)
            : default;
        var pending = new List<PendingEntry>();
        foreach (var (id, entry) in walk)
        {
            if (entry.IsIdle(nowMs, minIdleMs))
                pending.Add(ToEntry(id, entry, nowMs));
            if (pending.Count >= query.Count)
                break;
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
            CountByConsumer = found.Consumers.Where(consumer => consumer.HeldCount > 0)
                .ToDictionary(consumer => consumer.Name, consumer => consumer.HeldCount, StringComparer.Ordinal),
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
                PendingCount = consumer.HeldCount,
                IdleTime = TimeSpan.FromMilliseconds(Math.Max(0, nowMs - consumer.SeenMs)),
            })];

    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>: also for a string that is no document.</exception>
    public StateDocument? State(string key)
    {
        if (FindState(key) is not { } found)
            return null;
        return StateText.TryRead(found.Bytes.Span, out var version, out var payloadAt)
            ? new(version, found.Bytes[payloadAt..])
            : throw EngineErrors.NoDocument(key);
    }

    /// <summary>What waits in a schedule, by its key.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public ScheduleInfo Schedule(string key, long nowMs) => Find<ScheduleValue>(key) is { } schedule
        ? new() { Count = schedule.Count, NextIn = TimeSpan.FromMilliseconds(Math.Max(0, schedule.FirstDueMs - nowMs)) }
        : new() { Count = 0, NextIn = null };

    /// <summary>As XPENDING shows it: what was handed back has no consumer and an idle time of -1 ms.</summary>
    private static PendingEntry ToEntry(EntryId id, Pending pending, long nowMs) => pending.Owner is { } owner
        ? new(id, owner.Name, TimeSpan.FromMilliseconds(pending.IdleMs(nowMs)), pending.DeliveryCount)
        : new(id, "", TimeSpan.FromMilliseconds(-1), pending.DeliveryCount);
}
