using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Projections;

internal sealed partial class ViewTarget<TView>
{
    private const int MaxTries = 20;
    private const int PageSize = 500;

    /// <summary>
    /// Folds a view from its stream up to the last event that the category's checkpoint covers. The view is read first, then the checkpoint, then both
    /// streams: an event that is folded in meanwhile changes the view, and the commit conflicts. It also puts the head, so that a batch under way, which may
    /// have read the old view, conflicts in its turn.
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
        var events = await ReadAllAsync(stream, cancellationToken).ConfigureAwait(false);
        var next = await FindNextAsync(stream, Read(documents[1]).Position, cancellationToken).ConfigureAwait(false);
        var covered = events.TakeWhile(one => one.Version < next).ToList();

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

    private async ValueTask<List<RecordedEvent>> ReadAllAsync(string stream, CancellationToken cancellationToken)
    {
        List<RecordedEvent> events = [];
        for (var range = new StreamRange { Count = PageSize }; ;)
        {
            var page = await store.RangeAsync(stream, range, cancellationToken).ConfigureAwait(false);
            events.AddRange(page.Select(entry => RecordedEvent.Read(codec, stream, entry)));
            if (page.Count < PageSize)
                break;
            range = range with { Start = page[^1].Id.Next() };
        }

        return events is [{ Version: > 1, Event: not StreamDeleted }, ..]
            ? throw new InvalidOperationException($"The stream '{stream}' begins with {events[0].Version}: its view cannot be told from it.")
            : events;
    }

    /// <summary>The version of the stream's first event after a position of the category.</summary>
    private async ValueTask<long> FindNextAsync(string stream, EntryId after, CancellationToken cancellationToken)
    {
        while (true)
        {
            var range = new StreamRange { Start = after.Next(), Count = PageSize };
            var page = await store.RangeAsync(names.Source, range, cancellationToken).ConfigureAwait(false);
            foreach (var entry in page)
            {
                if (EventStoreNames.TryReadOrigin(entry.Fields, out var origin) && origin.Stream == stream)
                    return origin.Version;
            }

            if (page.Count < PageSize)
                return long.MaxValue;
            after = page[^1].Id;
        }
    }
}
