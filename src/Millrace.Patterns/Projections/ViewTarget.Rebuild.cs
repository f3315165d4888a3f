using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Projections;

internal sealed partial class ViewTarget<TView>
{
    private const int MaxTries = 20;

    /// <summary>
    /// Folds a view from its stream up to the last event that the category's checkpoint covers, without those that were passed over. The view is read first,
    /// then the checkpoint, then what was passed over and both streams: an event that is folded in meanwhile changes the view, and the commit conflicts.
    /// It also puts the head, so that a batch under way, which may have read the old view, conflicts in its turn. Events after the checkpoint are not decoded:
    /// whether they can be is for the projection to find.
    /// </summary>
    public async ValueTask RebuildAsync(string stream, int version, CancellationToken cancellationToken)
    {
        if (!folds.IsByStream)
            throw new InvalidOperationException($"Views of '{names.Projection}' have keys of their own: events of other streams may be in them.");
        if (stream == names.Source)
            throw new ArgumentException($"'{stream}' is all that '{names.Projection}' reads: rebuild the projection.", nameof(stream));
        for (var tries = 1; tries <= MaxTries; tries++)
        {
            if (await TryRebuildAsync(stream, version, cancellationToken).ConfigureAwait(false))
                return;
        }

        throw new StreamException(StreamErrorCode.Busy, $"Events of '{stream}' came at each of {MaxTries} tries.");
    }

    private async ValueTask<bool> TryRebuildAsync(string stream, int version, CancellationToken cancellationToken)
    {
        var plan = new ProjectionPlan(store, names);
        var (head, headVersion) = await plan.ReadAsync(cancellationToken).ConfigureAwait(false) ??
            throw new InvalidOperationException($"No process has run the projection '{names.Projection}' yet.");
        var generation = head.Live.Number;
        if (head.Live.Version != version)
            throw new InvalidOperationException($"Views of '{names.Projection}' have the version {head.Live.Version}, this process folds {version}.");
        var key = names.View(generation, stream);
        var documents = await store.GetStatesAsync([key, names.Checkpoint(generation)], cancellationToken).ConfigureAwait(false);
        var skipped = await ReadSkippedAsync(stream, generation, cancellationToken).ConfigureAwait(false);
        var entries = await ReadAllAsync(stream, cancellationToken).ConfigureAwait(false);
        var next = await FindNextAsync(stream, Read(documents[1]).Position, cancellationToken).ConfigureAwait(false);
        var covered = Decode(stream, entries.TakeWhile(entry => VersionOf(entry) < next), skipped);
        if (entries is [var first, ..] && VersionOf(first) > 1 && !(covered is [{ Event: StreamDeleted } deleted, ..] && deleted.Version == VersionOf(first)))
            throw new InvalidOperationException($"The stream '{stream}' begins with {VersionOf(first)}: its view cannot be told from it.");

        var view = Fold(null, stream, covered.Where(one => folds.KeysOf(one).Any()));
        List<CommitChange> changes = [plan.Put(head)];
        if (view is not null)
            changes.Add(new CommitChange.PutState(key, Write(covered[^1], view)!.Value));
        else
            changes.Add(new CommitChange.DeleteState(key));
        if (view is not null && documents[0] is null)
            changes.Add(new CommitChange.Append(names.Keys(generation), new EntryFieldsWriter().Add(KeyField, stream).ToFields()));
        var commit = new Commit
        {
            Conditions =
            [
                plan.Unchanged(headVersion),
                documents[0] is { } known ? CommitCondition.StateIs(key, known.Version) : CommitCondition.StateAbsent(key),
            ],
            Changes = changes,
        };
        return (await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied;
    }

    private async ValueTask<List<StreamEntry>> ReadAllAsync(string stream, CancellationToken cancellationToken)
    {
        List<StreamEntry> entries = [];
        await foreach (var page in new EntryPages(store).ReadPagesAsync(stream, new(), cancellationToken).ConfigureAwait(false))
            entries.AddRange(page);
        return entries;
    }

    private static long VersionOf(StreamEntry entry) => (long)entry.Id.Milliseconds;

    /// <summary>
    /// The events but those the projection passes over, which nobody may be able to read: those it noted, and without a word those of types nobody knows,
    /// if that is wanted.
    /// </summary>
    private List<RecordedEvent> Decode(string stream, IEnumerable<StreamEntry> entries, HashSet<(long Version, string EventId)> skipped)
    {
        List<RecordedEvent> events = [];
        foreach (var entry in entries.Where(entry => !skipped.Contains((VersionOf(entry), new MessageHeaders(entry.Id, entry.Fields).MessageId))))
        {
            try
            {
                events.Add(RecordedEvent.Read(codec, stream, entry));
            }
            catch (UndecodableMessageException exception) when (options.IgnoresUnknownTypes && exception.Reason == DeadLetterReasons.UnknownType)
            {
                // As the projection does.
            }
        }

        return events;
    }

    /// <summary>
    /// The events of a stream that a generation passed over, by version and ID: a stream that was lost, and begun anew, has others under the same versions.
    /// </summary>
    private async ValueTask<HashSet<(long Version, string EventId)>> ReadSkippedAsync(string stream, int generation, CancellationToken cancellationToken)
    {
        HashSet<(long Version, string EventId)> skipped = [];
        await foreach (var entry in new EntryPages(store).ReadAsync(names.Skipped(generation), new(), cancellationToken).ConfigureAwait(false))
        {
            if (EventStoreNames.TryReadOrigin(entry.Fields, out var origin) && origin.Stream == stream)
                skipped.Add((origin.Version, entry.Fields.GetText(ProjectionNames.SkippedEventId) ?? ""));
        }

        return skipped;
    }

    /// <summary>The version of the stream's first event after a position of the category.</summary>
    private async ValueTask<long> FindNextAsync(string stream, EntryId after, CancellationToken cancellationToken)
    {
        var range = new StreamRange { Start = after.Next() };
        await foreach (var entry in new EntryPages(store).ReadAsync(names.Source, range, cancellationToken).ConfigureAwait(false))
        {
            if (EventStoreNames.TryReadOrigin(entry.Fields, out var origin) && origin.Stream == stream)
                return origin.Version;
        }

        return long.MaxValue;
    }
}
