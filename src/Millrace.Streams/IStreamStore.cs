namespace Millrace.Streams;

/// <summary>
/// Redis Streams, in Redis's words, with one addition: <see cref="CommitAsync"/>. Implemented by the embedded engine and by real Redis or
/// Valkey; one conformance suite defines what every member does.
/// </summary>
/// <remarks>
/// <para>Every member works on every store. The store owns time: IDs, idle times and delays are by its clock, and only durations cross.</para>
/// <para>Every member throws <see cref="StreamException"/> with a code of <see cref="StreamErrorCode"/>, <see cref="ArgumentException"/> for
/// names, counts and durations outside <see cref="StreamLimits"/> (before anything is sent), and <see cref="OperationCanceledException"/>.
/// Cancellation stops the waiting and never half-applies a write; a write that was already sent may still be applied. A cancelled group read
/// that had already been answered returns those entries instead of throwing, so that none is lost to a cancelled wait. A token that is
/// cancelled before the call always throws. Every call of a closed store, and every read that waits while it closes, fails with
/// <see cref="StreamErrorCode.Closed"/>.</para>
/// <para>Cost: one round trip a call on a remote store, unless said otherwise; at most one journal write, shared with concurrent
/// callers, on the embedded one. Members may be called concurrently. As with any <see cref="ValueTask"/>, await a result once;
/// <see cref="ValueTask.AsTask"/> makes one that may be awaited often, or blocked on.</para>
/// </remarks>
public interface IStreamStore : IAsyncDisposable
{
    /// <summary>
    /// Makes the store ready: recovers the embedded journal, or connects to the server. Idempotent; other members call it when it was not
    /// called. Call it at start to learn early that the data directory is locked or the server unreachable.
    /// </summary>
    ValueTask OpenAsync(CancellationToken cancellationToken = default);

    /// <summary>Appends one entry; the stream is made when it is new.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="fields">The fields; at least one.</param>
    /// <param name="trim">What to keep of the stream afterwards. Default: everything.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The new entry's ID.</returns>
    /// <exception cref="StreamException">
    /// <see cref="StreamErrorCode.OutcomeUnknown"/>: the connection broke after the entry was sent, or the disk failed while it was written: it may have been
    /// appended, or is when a full disk has room.
    /// </exception>
    ValueTask<EntryId> AppendAsync(string stream, EntryFields fields, StreamTrim? trim = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Appends entries in order, in one round trip. They stay together on the embedded store; on Redis entries of others may come in
    /// between, and a failure in mid-way leaves the first ones appended. For all or nothing use <see cref="CommitAsync"/>.
    /// </summary>
    ValueTask<IReadOnlyList<EntryId>> AppendManyAsync(
        string stream, IReadOnlyList<EntryFields> entries, StreamTrim? trim = null, CancellationToken cancellationToken = default);

    /// <summary>Reads a range. A missing stream is empty.</summary>
    ValueTask<IReadOnlyList<StreamEntry>> RangeAsync(string stream, StreamRange range, CancellationToken cancellationToken = default);

    /// <summary>
    /// Reads on after the given positions, without a group; waits for the first entry when there is none. Real blocking, never polling.
    /// </summary>
    /// <param name="positions">The streams; need not exist. On a cluster they must share a hash slot.</param>
    /// <param name="count">Entries at most from each stream.</param>
    /// <param name="block">How long to wait; zero: not at all. A store may wait up to 100 ms longer.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The streams that have entries; empty when the wait is over.</returns>
    ValueTask<IReadOnlyList<StreamBatch<StreamEntry>>> ReadAsync(
        IReadOnlyList<StreamPosition> positions, int count, TimeSpan block, CancellationToken cancellationToken = default);

    /// <summary>
    /// Reads entries never delivered to the group; they become pending for the consumer, with delivery count 1. Waiting readers of a group
    /// are served in the order they came.
    /// </summary>
    /// <returns>The streams that have entries; empty when the wait is over.</returns>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>: missing on one of the streams, also when it vanishes
    /// during the wait. Nothing was delivered.</exception>
    ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadGroupAsync(GroupRead read, CancellationToken cancellationToken = default);

    /// <summary>Acknowledges entries, whoever holds them. A missing stream or group acknowledges nothing.</summary>
    /// <returns>How many were pending.</returns>
    ValueTask<long> AckAsync(string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default);

    /// <summary>Acknowledges entries and deletes them from the stream, for every group. Entries that were not pending stay.</summary>
    /// <returns>How many were pending.</returns>
    ValueTask<long> AckAndDeleteAsync(string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default);

    /// <summary>
    /// Sets the idle time of held entries back to zero, without counting a delivery. Fenced: an entry somebody else took since is left alone.
    /// One that was deleted from its stream meanwhile stays held, but on Redis its idle time goes on.
    /// </summary>
    /// <returns>The IDs still held and now extended; none when the stream or group does not exist.</returns>
    ValueTask<IReadOnlyList<EntryId>> ExtendAsync(
        string stream, string group, string consumer, IReadOnlyList<HeldEntry> held, CancellationToken cancellationToken = default);

    /// <summary>Takes pending entries over for a consumer, or again for the one that has them. Counts as a delivery.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    ValueTask<ClaimResult> ClaimAsync(string stream, string group, ClaimRequest claim, CancellationToken cancellationToken = default);

    /// <summary>Lists pending entries in ID order.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    ValueTask<IReadOnlyList<PendingEntry>> PendingAsync(
        string stream, string group, PendingQuery query, CancellationToken cancellationToken = default);

    /// <summary>Counts pending entries by consumer.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    ValueTask<PendingSummary> PendingSummaryAsync(string stream, string group, CancellationToken cancellationToken = default);

    /// <summary>Deletes entries by ID.</summary>
    /// <returns>How many there were.</returns>
    ValueTask<long> DeleteAsync(string stream, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default);

    /// <summary>Drops the oldest entries, read or not.</summary>
    /// <returns>How many were dropped.</returns>
    ValueTask<long> TrimAsync(string stream, StreamTrim trim, CancellationToken cancellationToken = default);

    /// <summary>Deletes a stream with its groups. Its state documents, schedule and dead letters stay.</summary>
    /// <returns>Whether there was one.</returns>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>: the key holds something else, which stays.</exception>
    ValueTask<bool> DeleteStreamAsync(string stream, CancellationToken cancellationToken = default);

    /// <summary>Makes a group, and an empty stream when there is none.</summary>
    /// <returns><see langword="false"/> when the group exists already; it is left as it is.</returns>
    ValueTask<bool> CreateGroupAsync(string stream, string group, GroupStart start, CancellationToken cancellationToken = default);

    /// <summary>Moves a group: forward to skip entries, back to read them again. Pending entries stay.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    ValueTask SetGroupAsync(string stream, string group, GroupStart start, CancellationToken cancellationToken = default);

    /// <summary>Deletes a group with its pending entries. Waiting readers fail with <see cref="StreamErrorCode.NoGroup"/>.</summary>
    /// <returns>Whether there was one.</returns>
    ValueTask<bool> DestroyGroupAsync(string stream, string group, CancellationToken cancellationToken = default);

    /// <summary>Makes a consumer; reads and claims do so by themselves.</summary>
    /// <returns><see langword="false"/> when it exists already.</returns>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    ValueTask<bool> CreateConsumerAsync(string stream, string group, string consumer, CancellationToken cancellationToken = default);

    /// <summary>Deletes a consumer <b>with its pending entries</b>, which are never delivered again: claim them first.</summary>
    /// <returns>How many pending entries went with it.</returns>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    ValueTask<long> DeleteConsumerAsync(string stream, string group, string consumer, CancellationToken cancellationToken = default);

    /// <summary>Describes a stream, or <see langword="null"/> when there is none.</summary>
    ValueTask<StreamInfo?> GetStreamInfoAsync(string stream, CancellationToken cancellationToken = default);

    /// <summary>Lists the groups of a stream by name; none when there is no stream.</summary>
    ValueTask<IReadOnlyList<GroupInfo>> GetGroupsAsync(string stream, CancellationToken cancellationToken = default);

    /// <summary>Lists the consumers of a group by name.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>.</exception>
    ValueTask<IReadOnlyList<ConsumerInfo>> GetConsumersAsync(string stream, string group, CancellationToken cancellationToken = default);

    /// <summary>Reads state documents, in the order of the keys; <see langword="null"/> for those that do not exist.</summary>
    ValueTask<IReadOnlyList<StateDocument?>> GetStatesAsync(IReadOnlyList<StateKey> keys, CancellationToken cancellationToken = default);

    /// <summary>Says how much is scheduled for a stream, whether the stream exists or not. One round trip, however much it is.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamException">The store failed, or holds another type under the key of the schedule.</exception>
    ValueTask<ScheduleInfo> GetScheduleAsync(string stream, CancellationToken cancellationToken = default);

    /// <summary>
    /// Applies commits, each on its own: all of its changes or none, at one moment. They are applied in order, but one that conflicts or is
    /// refused does not stop the next. One round trip for the list; one script call on Redis for all that fit.
    /// </summary>
    /// <returns>One result for each commit, in order: applied, conflicted or refused.</returns>
    /// <exception cref="StreamException">
    /// The store could not be asked. <see cref="StreamErrorCode.OutcomeUnknown"/>: any of the commits may have been applied, each as a whole;
    /// one that is fenced by <see cref="CommitCondition.StillHeld"/> and acknowledges the entry may be sent again.
    /// </exception>
    ValueTask<IReadOnlyList<CommitResult>> CommitAsync(IReadOnlyList<Commit> commits, CancellationToken cancellationToken = default);
}
