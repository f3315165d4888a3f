using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>A store as it is, beside which is written down what was published, and which says when something has changed.</summary>
internal sealed class WatchedStore(IStreamStore store, Changes changes, TimeProvider time) : IStreamStore
{
    private readonly Lock _lock = new();
    private readonly List<PublishedMessage> _published = [];

    /// <summary>Everything appended or scheduled, in order; retries and dead letters too.</summary>
    public IReadOnlyList<PublishedMessage> Published
    {
        get
        {
            lock (_lock)
                return [.. _published];
        }
    }

    /// <summary>Streams to which the application publishes in vain: that is written down as ever, and goes to a stream beside that nobody reads.</summary>
    public IReadOnlySet<string> Sealed { get; set; } = new HashSet<string>();

    public void Clear()
    {
        lock (_lock)
            _published.Clear();
    }

    public ValueTask OpenAsync(CancellationToken cancellationToken = default) => store.OpenAsync(cancellationToken);

    public async ValueTask<EntryId> AppendAsync(
        string stream, EntryFields fields, StreamTrim? trim = null, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        var id = await store.AppendAsync(Place(stream), fields, trim, cancellationToken).ConfigureAwait(false);
        Note([new(stream, id, fields, time.GetUtcNow(), null)]);
        return id;
    }

    public async ValueTask<IReadOnlyList<EntryId>> AppendManyAsync(
        string stream, IReadOnlyList<EntryFields> entries, StreamTrim? trim = null, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        var ids = await store.AppendManyAsync(Place(stream), entries, trim, cancellationToken).ConfigureAwait(false);
        Note(entries.Zip(ids, (fields, id) => new PublishedMessage(stream, id, fields, time.GetUtcNow(), null)));
        return ids;
    }

    public async ValueTask<IReadOnlyList<CommitResult>> CommitAsync(
        IReadOnlyList<Commit> commits, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        var placed = Sealed.Count == 0 ? commits : [.. commits.Select(commit => commit with { Changes = [.. commit.Changes.Select(Place)] })];
        var results = await store.CommitAsync(placed, cancellationToken).ConfigureAwait(false);
        Note(commits.Zip(results).Where(static pair => pair.Second.IsApplied)
            .SelectMany(pair => Messages(pair.First.Changes, pair.Second.Ids, time.GetUtcNow())));
        return results;
    }

    public ValueTask<IReadOnlyList<StreamEntry>> RangeAsync(
        string stream, StreamRange range, CancellationToken cancellationToken = default) => store.RangeAsync(stream, range, cancellationToken);

    public ValueTask<IReadOnlyList<StreamBatch<StreamEntry>>> ReadAsync(
        IReadOnlyList<StreamPosition> positions, int count, TimeSpan block, CancellationToken cancellationToken = default) =>
        store.ReadAsync(positions, count, block, cancellationToken);

    // What it delivers moves from unread to pending in one step, so that there is nothing to count.
    public ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadGroupAsync(
        GroupRead read, CancellationToken cancellationToken = default) => store.ReadGroupAsync(read, cancellationToken);

    public ValueTask<long> AckAsync(
        string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default) =>
        CountAsync(store.AckAsync, stream, group, ids, cancellationToken);

    public ValueTask<long> AckAndDeleteAsync(
        string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default) =>
        CountAsync(store.AckAndDeleteAsync, stream, group, ids, cancellationToken);

    public ValueTask<IReadOnlyList<EntryId>> ExtendAsync(
        string stream, string group, string consumer, IReadOnlyList<HeldEntry> held, CancellationToken cancellationToken = default) =>
        store.ExtendAsync(stream, group, consumer, held, cancellationToken);

    public ValueTask<ClaimResult> ClaimAsync(
        string stream, string group, ClaimRequest claim, CancellationToken cancellationToken = default) =>
        CountAsync(store.ClaimAsync, stream, group, claim, cancellationToken);

    public ValueTask<IReadOnlyList<PendingEntry>> PendingAsync(
        string stream, string group, PendingQuery query, CancellationToken cancellationToken = default) =>
        store.PendingAsync(stream, group, query, cancellationToken);

    public ValueTask<PendingSummary> PendingSummaryAsync(string stream, string group, CancellationToken cancellationToken = default) =>
        store.PendingSummaryAsync(stream, group, cancellationToken);

    public async ValueTask<long> DeleteAsync(string stream, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        return await store.DeleteAsync(stream, ids, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask<long> TrimAsync(string stream, StreamTrim trim, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        return await store.TrimAsync(stream, trim, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask<bool> DeleteStreamAsync(string stream, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        return await store.DeleteStreamAsync(stream, cancellationToken).ConfigureAwait(false);
    }

    public ValueTask<bool> CreateGroupAsync(
        string stream, string group, GroupStart start, CancellationToken cancellationToken = default) =>
        CountAsync(store.CreateGroupAsync, stream, group, start, cancellationToken);

    public async ValueTask SetGroupAsync(string stream, string group, GroupStart start, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        await store.SetGroupAsync(stream, group, start, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask<bool> DestroyGroupAsync(string stream, string group, CancellationToken cancellationToken = default)
    {
        using var change = changes.Begin();
        return await store.DestroyGroupAsync(stream, group, cancellationToken).ConfigureAwait(false);
    }

    public ValueTask<bool> CreateConsumerAsync(
        string stream, string group, string consumer, CancellationToken cancellationToken = default) =>
        store.CreateConsumerAsync(stream, group, consumer, cancellationToken);

    public ValueTask<long> DeleteConsumerAsync(
        string stream, string group, string consumer, CancellationToken cancellationToken = default) =>
        CountAsync(store.DeleteConsumerAsync, stream, group, consumer, cancellationToken);

    public ValueTask<StreamInfo?> GetStreamInfoAsync(string stream, CancellationToken cancellationToken = default) =>
        store.GetStreamInfoAsync(stream, cancellationToken);

    public ValueTask<IReadOnlyList<GroupInfo>> GetGroupsAsync(string stream, CancellationToken cancellationToken = default) =>
        store.GetGroupsAsync(stream, cancellationToken);

    public ValueTask<IReadOnlyList<ConsumerInfo>> GetConsumersAsync(
        string stream, string group, CancellationToken cancellationToken = default) => store.GetConsumersAsync(stream, group, cancellationToken);

    public ValueTask<IReadOnlyList<StateDocument?>> GetStatesAsync(
        IReadOnlyList<StateKey> keys, CancellationToken cancellationToken = default) => store.GetStatesAsync(keys, cancellationToken);

    public ValueTask<ScheduleInfo> GetScheduleAsync(string stream, CancellationToken cancellationToken = default) =>
        store.GetScheduleAsync(stream, cancellationToken);

    public ValueTask DisposeAsync() => store.DisposeAsync();

    /// <summary>What the changes of an applied commit publish, at once or for later.</summary>
    public static IEnumerable<PublishedMessage> Messages(IEnumerable<CommitChange> changes, IReadOnlyList<EntryId> ids, DateTimeOffset now)
    {
        var appended = 0;
        foreach (var change in changes)
        {
            if (change is CommitChange.Append append)
                yield return new(append.Stream, appended < ids.Count ? ids[appended++] : EntryId.Zero, append.Fields, now, null);
            else if (change is CommitChange.Schedule schedule)
                yield return new(schedule.Stream, EntryId.Zero, schedule.Fields, now, schedule.Delay);
        }
    }

    private string Place(string stream) => Sealed.Contains(stream) ? StreamNames.Derive(stream, "sealed") : stream;

    private CommitChange Place(CommitChange change) => change switch
    {
        CommitChange.Append append => append with { Stream = Place(append.Stream) },
        CommitChange.Schedule schedule => schedule with { Stream = Place(schedule.Stream) },
        _ => change,
    };

    private async ValueTask<TResult> CountAsync<TArgument, TResult>(
        Func<string, string, TArgument, CancellationToken, ValueTask<TResult>> call,
        string stream,
        string group,
        TArgument argument,
        CancellationToken cancellationToken)
    {
        using var change = changes.Begin();
        return await call(stream, group, argument, cancellationToken).ConfigureAwait(false);
    }

    private void Note(IEnumerable<PublishedMessage> messages)
    {
        lock (_lock)
            _published.AddRange(messages);
    }
}
