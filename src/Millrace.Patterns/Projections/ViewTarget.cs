using System.Text;
using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>
/// Views as state documents in the slot of the source, saved in one commit with the checkpoint. Keeps nothing in memory: each batch reads the
/// checkpoint and then the documents, and its commit holds only while both the checkpoint and the plan are unchanged.
/// </summary>
internal sealed partial class ViewTarget<TView>(
    ProjectionNames names, ViewFolds<TView> folds, IStreamStore store, MessageCodec codec, ViewProjectionOptions options) : IProjectionTarget, IStreamRebuilder
    where TView : class
{
    // The checkpoint, the list of new keys, and room for what a commit may need one day.
    private const int MaxViews = StreamLimits.MaxCommitChanges - 10;
    private const int MaxKeyBytes = 512;

    // Below this many keys threads cost more than they give.
    private const int MinParallelKeys = 32;

    // Entries of the list of keys that one call removes the documents of.
    private const int RemovePage = 20;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static ReadOnlySpan<byte> KeyField => "key"u8;

    public async ValueTask<ProjectionCheckpoint> LoadAsync(int generation, CancellationToken cancellationToken) =>
        Read(await store.GetStateAsync(names.Checkpoint(generation), cancellationToken).ConfigureAwait(false));

    public async ValueTask<bool> ApplyAsync(ProjectionBatch batch, CancellationToken cancellationToken)
    {
        var after = batch.After;
        for (var next = 0; ;)
        {
            var start = next;
            var views = Collect(batch.Events, ref next);
            var isLast = next == batch.Events.Count;

            // In between, entries that are no events may be missing from the count: it errs to the side of asking the store.
            var checkpoint = isLast ? batch.Checkpoint : new(batch.Events[next - 1].EntryId, after.Entries + next - start);
            if (!await SaveAsync(batch, views, after, checkpoint, cancellationToken).ConfigureAwait(false))
                return false;
            if (isLast)
                return true;
            after = checkpoint;
        }
    }

    public async ValueTask<bool> RemoveAsync(int generation, CancellationToken cancellationToken)
    {
        var list = names.Keys(generation);
        var page = await store.RangeAsync(list, new() { Count = RemovePage }, cancellationToken).ConfigureAwait(false);
        var commits = page.Select(entry => new Commit
        {
            Changes =
            [
                .. KeysIn(entry).Select(key => new CommitChange.DeleteState(names.View(generation, key))),
                new CommitChange.Delete(list, entry.Id),
            ],
        });
        foreach (var commit in commits)
            await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
        if (page.Count == RemovePage)
            return false;

        await store.DeleteStreamAsync(list, cancellationToken).ConfigureAwait(false);
        var last = new Commit { Changes = [new CommitChange.DeleteState(names.Checkpoint(generation))] };
        await store.CommitAsync(last, cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>The keys of an entry of <see cref="ProjectionNames.Keys"/>.</summary>
    public static IEnumerable<string> KeysIn(StreamEntry entry) => entry.Fields.Select(static field => field.ValueText);

    public static ProjectionCheckpoint Read(StateDocument? document) =>
        document is null ? ProjectionCheckpoint.Start : ProjectionCheckpoint.Parse(Encoding.UTF8.GetString(document.Payload.Span));

    /// <summary>The view after events, from what is stored of it; <see langword="null"/>: there is none.</summary>
    /// <exception cref="ProjectionEventException">A fold threw.</exception>
    public TView? Fold(TView? view, string key, IEnumerable<RecordedEvent> events)
    {
        foreach (var one in events)
        {
            try
            {
                view = folds.Fold(view, new(key, one));
            }
            catch (Exception exception)
            {
                throw new ProjectionEventException(one, exception);
            }
        }

        return view;
    }

    /// <summary>The events of as many keys as one commit takes, by key, in order.</summary>
    /// <exception cref="ProjectionEventException">The keys of an event cannot be told or used.</exception>
    private Dictionary<string, List<RecordedEvent>> Collect(IReadOnlyList<RecordedEvent> events, ref int next)
    {
        var views = new Dictionary<string, List<RecordedEvent>>(StringComparer.Ordinal);
        for (; next < events.Count; next++)
        {
            var keys = KeysOf(events[next]);
            if (views.Count + keys.Count > MaxViews && views.Count + keys.Count(key => !views.ContainsKey(key)) > MaxViews)
                break;
            foreach (var key in keys)
            {
                if (!views.TryGetValue(key, out var own))
                    views.Add(key, own = []);
                own.Add(events[next]);
            }
        }

        return views;
    }

    private IReadOnlyCollection<string> KeysOf(RecordedEvent one)
    {
        try
        {
            IReadOnlyCollection<string> keys = [.. folds.KeysOf(one).Distinct(StringComparer.Ordinal)];
            if (keys.Count > MaxViews)
                throw new InvalidOperationException($"It has {keys.Count} keys; a commit takes {MaxViews}.");
            foreach (var key in keys)
            {
                if (key.Length == 0 || StrictUtf8.GetByteCount(key) > MaxKeyBytes)
                    throw new InvalidOperationException($"The key '{key}' has no character, or more than {MaxKeyBytes} bytes.");
            }

            return keys;
        }
        catch (Exception exception)
        {
            throw new ProjectionEventException(one, exception);
        }
    }

    private async ValueTask<bool> SaveAsync(
        ProjectionBatch batch,
        Dictionary<string, List<RecordedEvent>> views,
        ProjectionCheckpoint after,
        ProjectionCheckpoint checkpoint,
        CancellationToken cancellationToken)
    {
        string[] keys = [.. views.Keys];
        StateKey[] states = [names.Checkpoint(batch.Generation), .. keys.Select(key => names.View(batch.Generation, key))];
        var documents = await store.GetStatesAsync(states, cancellationToken).ConfigureAwait(false);
        if (Read(documents[0]).Position != after.Position)
            return false;

        var payloads = FoldAll(views, keys, documents);
        var added = new EntryFieldsWriter();
        var hasAdded = false;
        List<CommitChange> changes = [new CommitChange.PutState(states[0], Encoding.ASCII.GetBytes(checkpoint.ToString()))];
        for (var i = 0; i < keys.Length; i++)
        {
            var isThere = documents[i + 1] is not null;
            if (payloads[i] is { } payload)
                changes.Add(new CommitChange.PutState(states[i + 1], payload));
            else if (isThere)
                changes.Add(new CommitChange.DeleteState(states[i + 1]));
            if (isThere || payloads[i] is null)
                continue;
            added.Add(KeyField, keys[i]);
            hasAdded = true;
        }

        if (hasAdded)
            changes.Add(new CommitChange.Append(names.Keys(batch.Generation), added.ToFields()));
        List<CommitCondition> conditions =
            [documents[0] is { } known ? CommitCondition.StateIs(states[0], known.Version) : CommitCondition.StateAbsent(states[0])];
        if (batch.Fence is { } fence)
            conditions.Add(fence);
        var commit = new Commit { Conditions = conditions, Changes = changes };
        return (await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied;
    }

    /// <summary>Folds all keys, side by side where that is worth it.</summary>
    /// <exception cref="ProjectionEventException">Folds threw; the one of the first event.</exception>
    private ReadOnlyMemory<byte>?[] FoldAll(Dictionary<string, List<RecordedEvent>> views, string[] keys, IReadOnlyList<StateDocument?> documents)
    {
        var payloads = new ReadOnlyMemory<byte>?[keys.Length];
        var failures = new ProjectionEventException?[keys.Length];
        if (options.Parallelism > 1 && keys.Length >= MinParallelKeys)
        {
            Parallel.For(0, keys.Length, new() { MaxDegreeOfParallelism = options.Parallelism }, FoldOne);
        }
        else
        {
            for (var i = 0; i < keys.Length; i++)
                FoldOne(i);
        }

        return failures.Where(static failure => failure is not null).MinBy(static failure => failure!.EntryId) is { } first ? throw first : payloads;

        void FoldOne(int i)
        {
            try
            {
                payloads[i] = Write(views[keys[i]][^1], Fold(ReadView(documents[i + 1], views[keys[i]][0]), keys[i], views[keys[i]]));
            }
            catch (ProjectionEventException failure)
            {
                failures[i] = failure;
            }
        }
    }

    private TView? ReadView(StateDocument? document, RecordedEvent first)
    {
        try
        {
            return document is null ? null : codec.Deserialize<TView>(document.Payload.Span);
        }
        catch (Exception exception)
        {
            // The shape changed without a new version, or its constructor throws.
            throw new ProjectionEventException(first, exception);
        }
    }

    /// <summary>The document of a view, as a rebuild of a single one writes it, too.</summary>
    public ReadOnlyMemory<byte>? Write(RecordedEvent last, TView? view)
    {
        if (view is null)
            return null;
        try
        {
            var payload = codec.Serialize(view);
            return payload.Length <= StreamLimits.MaxEntryBytes
                ? payload
                : throw new InvalidOperationException($"The view has {payload.Length} bytes; a document takes {StreamLimits.MaxEntryBytes}.");
        }
        catch (Exception exception)
        {
            throw new ProjectionEventException(last, exception);
        }
    }
}
