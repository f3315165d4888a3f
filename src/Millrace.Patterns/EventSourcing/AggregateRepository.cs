namespace Millrace.EventSourcing;

/// <summary>Loads and saves aggregates of a class: those of the streams <c>&lt;category&gt;-&lt;id&gt;</c>. A singleton, for any number of callers.</summary>
/// <typeparam name="TAggregate">The class; its constructor makes it as it is before the first event.</typeparam>
public sealed class AggregateRepository<TAggregate>
    where TAggregate : AggregateRoot, new()
{
    private readonly EventStore _store;
    private readonly string _category;

    /// <summary>Makes a repository.</summary>
    /// <param name="store">The event store.</param>
    /// <param name="category">The first part of the streams' names; without a hyphen.</param>
    public AggregateRepository(EventStore store, string category)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentException.ThrowIfNullOrEmpty(category);
        if (category.Contains('-', StringComparison.Ordinal))
            throw new ArgumentException($"The category '{category}' has a hyphen.", nameof(category));
        (_store, _category) = (store, category);
    }

    /// <summary>When snapshots are taken; <see langword="null"/>: never.</summary>
    internal SnapshotPolicy? Snapshots { get; init; }

    /// <summary>What a snapshot of the aggregate with an ID holds.</summary>
    internal Func<string, SnapshotForm<TAggregate>>? SnapshotFormOf { get; init; }

    /// <summary>The stream of an aggregate.</summary>
    /// <param name="id">Its ID.</param>
    public string StreamOf(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        return $"{_category}-{id}";
    }

    /// <summary>Loads an aggregate from its events, with snapshots from those after the last one; one that has none is new.</summary>
    /// <param name="id">Its ID.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamDeletedException">Its stream was deleted.</exception>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="Streams.StreamException">The store failed.</exception>
    public async ValueTask<TAggregate> LoadAsync(string id, CancellationToken cancellationToken = default)
    {
        var loaded = await _store.LoadAsync(StreamOf(id), FoldOf(id), cancellationToken: cancellationToken).ConfigureAwait(false);
        if (loaded.IsDeleted)
            throw new StreamDeletedException(StreamOf(id));
        loaded.State.Version = loaded.Version;
        loaded.State.Snapshot = (loaded.SnapshotDocument, loaded.SnapshotVersion, loaded.UnkeptSince);
        return loaded.State;
    }

    /// <summary>
    /// Appends the events an aggregate raised, if nobody appended since it was loaded. After any other outcome, also that of a command that was recorded
    /// before, the aggregate is of no more use: load it anew. Without events nothing happens. A snapshot that is due is taken afterwards, one for each load.
    /// </summary>
    /// <param name="aggregate">The aggregate.</param>
    /// <param name="options">More about the append. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting; the events may still be appended.</param>
    /// <exception cref="InvalidOperationException">An earlier save found the aggregate out of date.</exception>
    /// <exception cref="Streams.StreamException">See <see cref="EventStore.AppendAsync"/>.</exception>
    public async ValueTask<AppendResult> SaveAsync(TAggregate aggregate, AppendOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(aggregate);
        aggregate.CheckNotSpent();
        if (aggregate.Raised.Count == 0)
            return AppendResult.Of(AppendOutcome.Appended, aggregate.Version);
        var result = await _store.AppendAsync(
            StreamOf(aggregate.Id), ExpectedVersion.Exactly(aggregate.Version), [.. aggregate.Raised], options, cancellationToken).ConfigureAwait(false);
        aggregate.Saved(result);
        if (result.Outcome == AppendOutcome.Appended)
            await SnapshotIfDueAsync(aggregate, cancellationToken).ConfigureAwait(false);
        return result;
    }

    private async ValueTask SnapshotIfDueAsync(TAggregate aggregate, CancellationToken cancellationToken)
    {
        if (Snapshots is null || aggregate.Snapshot is not (var document, >= 0 and var version, var since))
            return;
        var state = new LoadedState<TAggregate>(aggregate, aggregate.Version, IsDeleted: false)
        {
            LastId = new((ulong)aggregate.Version, 0),
            SnapshotDocument = document,
            SnapshotVersion = version,
            UnkeptSince = since,
        };
        if (await _store.SnapshotIfDueAsync(StreamOf(aggregate.Id), FoldOf(aggregate.Id), state, cancellationToken).ConfigureAwait(false))
            aggregate.Snapshot = (null, -1, null); // What replaces it, the next load finds.
    }

    private EventFold<TAggregate> FoldOf(string id) => new(
        () => new TAggregate { Id = id },
        static (aggregate, one) =>
        {
            aggregate.Replay(one);
            return aggregate;
        })
    {
        Snapshots = Snapshots,
        SnapshotForm = SnapshotFormOf?.Invoke(id),
    };
}
