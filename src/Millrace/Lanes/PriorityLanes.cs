using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

/// <summary>The lanes of streams: which there are, and moving messages between them. A singleton service.</summary>
public sealed class PriorityLanes
{
    private readonly MillraceCore _core;
    private readonly IStreamStore _store;

    internal PriorityLanes(MillraceCore core, IStreamStore store) => (_core, _store) = (core, store);

    /// <summary>The stream of a lane, for those who read it themselves.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="lane">The lane; <see langword="null"/>: the stream itself.</param>
    /// <exception cref="ArgumentException">The stream has no such lane.</exception>
    public string StreamOf(string stream, string? lane) => lane is null ? stream : _core.LaneOf(stream, lane);

    /// <summary>
    /// Lists the lanes of a stream, also those that only other processes declared: each adds its own when its host starts. One round trip.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Their names, in order; none where the stream has no lanes.</returns>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask<IReadOnlyList<string>> ListAsync(string stream, CancellationToken cancellationToken = default) =>
        LaneDirectory.ReadAsync(_store, stream, cancellationToken);

    /// <summary>
    /// Takes out a lane for good, so that consumers start which do not declare it. Stop its publishers first, and the processes that declare it last:
    /// within 10 s one that still runs puts it back. Its stream stays. Six round trips, and two a group.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="lane">The lane; also one that this process does not declare.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="InvalidOperationException">
    /// It still has messages that wait for their time or for a group, be it one of the stream that has not come to the lane yet.
    /// </exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask RemoveAsync(string stream, string lane, CancellationToken cancellationToken = default)
    {
        var source = StreamNames.Lane(stream, lane);

        // In the order in which a message goes on, so that none slips by.
        if ((await _store.GetScheduleAsync(source, cancellationToken).ConfigureAwait(false)).Count > 0)
            throw new InvalidOperationException($"The lane '{lane}' of '{stream}' still has messages that wait for their time.");
        var last = (await _store.GetStreamInfoAsync(source, cancellationToken).ConfigureAwait(false))?.LastEntry?.Id ?? EntryId.Zero;
        var groups = await _store.GetGroupsAsync(source, cancellationToken).ConfigureAwait(false);
        List<string> behind = [];
        foreach (var group in groups)
        {
            // What is settled leaves the private stream, but for what is whole there only.
            var again = StreamNames.Again(source, group.Name);
            if (group.PendingCount > 0 || group.LastDeliveredId < last ||
                (await _store.GetScheduleAsync(again, cancellationToken).ConfigureAwait(false)).Count > 0 ||
                await _store.GetStreamInfoAsync(again, cancellationToken).ConfigureAwait(false) is { Length: > 0 })
                behind.Add(group.Name);
        }

        // A group of the stream comes to the lane when a process runs it that declares the lane.
        var all = await _store.GetGroupsAsync(stream, cancellationToken).ConfigureAwait(false);
        if (last > EntryId.Zero)
            behind.AddRange(all.Select(static group => group.Name).Except(groups.Select(static group => group.Name)));

        if (behind.Count > 0 || (last > EntryId.Zero && groups.Count == 0))
            throw new InvalidOperationException(
                $"The lane '{lane}' of '{stream}' still has messages for {(behind.Count == 0 ? "every group" : string.Join(", ", behind.Order()))}: let the " +
                "groups come to its end, or delete one that nobody reads any more.");
        await LaneDirectory.RemoveAsync(_store, stream, lane, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Moves a message that waits in the store to another lane, behind what waits there: as the same message, in one commit. What a group was given
    /// already, even if only prefetched, stays. Two round trips.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="id">The entry's ID in the lane it is in.</param>
    /// <param name="from">That lane; <see langword="null"/>: the stream itself.</param>
    /// <param name="to">The lane it goes to; <see langword="null"/>: the stream itself.</param>
    /// <param name="cancellationToken">Stops the waiting; the message may still be moved.</param>
    /// <returns>Its ID in the other lane; or <see langword="null"/>: it does not wait there any more, and nothing has changed.</returns>
    /// <exception cref="ArgumentException">The stream has no such lane, or both are the same.</exception>
    /// <exception cref="StreamException">
    /// The store failed. <see cref="StreamErrorCode.OutcomeUnknown"/>: it may have been moved; to ask again is safe, and gives
    /// <see langword="null"/> then.
    /// </exception>
    public async ValueTask<EntryId?> MoveAsync(
        string stream, EntryId id, string? from, string? to, CancellationToken cancellationToken = default)
    {
        var (source, target) = (StreamOf(stream, from), StreamOf(stream, to));
        if (source == target)
            throw new ArgumentException($"The message is in the lane '{to}' of '{stream}' already.", nameof(to));
        var found = await _store.RangeAsync(source, new() { Start = id, End = id, Count = 1 }, cancellationToken).ConfigureAwait(false);
        if (found is not [var entry])
            return null;

        var result = await _store.CommitAsync(
            new Commit
            {
                Conditions = [CommitCondition.EntryUnread(source, id)],
                Changes = [new CommitChange.Append(target, EnvelopeCodec.Keep(entry, lane: from is null ? null : source)), new CommitChange.Delete(source, id)],
            },
            cancellationToken).ConfigureAwait(false);
        return result.IsApplied ? result.Ids[0] : null;
    }
}
