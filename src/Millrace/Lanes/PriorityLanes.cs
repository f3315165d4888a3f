using Millrace.Streams;

namespace Millrace;

/// <summary>Moves messages between the lanes of a stream. A singleton service.</summary>
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
                Changes = [new CommitChange.Append(target, entry.Fields), new CommitChange.Delete(source, id)],
            },
            cancellationToken).ConfigureAwait(false);
        return result.IsApplied ? result.Ids[0] : null;
    }
}
