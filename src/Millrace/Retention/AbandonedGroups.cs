using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Consuming;
using Millrace.Consuming.Ordered;
using Millrace.Recovery;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Finds the groups of a stream that have had no live consumer, and did not move, for too long: by the store's clock, since that of one process may be wrong.
/// A group moves when it is given or settles something, and when something comes for it alone.
/// </summary>
/// <remarks>
/// A note says where each group stands still, and a document of each lives for as long as the group may. One commit writes both, and the note only as it
/// was read. So a group that stands where the note has it is abandoned when its document has expired; one that the note does not know begins its time.
/// <code>
/// {orders}:state:millrace/still             where each group stood, and how long it may
/// {orders}:state:millrace/still/billing     expires when it has
/// </code>
/// </remarks>
internal sealed class AbandonedGroups(IStreamStore store)
{
    private readonly ConsumerRegistry _registry = new(store);

    /// <summary>The note of a stream.</summary>
    public static StateKey KeyOf(string stream) => new(stream, "millrace/still");

    /// <param name="stream">The stream.</param>
    /// <param name="groups">Its groups, as they stand.</param>
    /// <param name="abandonedAfter">How long a group may stand still. One that the note knows with another begins its time anew.</param>
    /// <param name="dryRun">Whether nothing is to be noted.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <returns>Those that are abandoned, by name, as they stood.</returns>
    public async ValueTask<SortedDictionary<string, StillGroup>> FindAsync(
        string stream, IReadOnlyList<GroupInfo> groups, TimeSpan abandonedAfter, bool dryRun, CancellationToken cancellationToken)
    {
        StateKey[] keys = [KeyOf(stream), .. groups.Select(group => TimeOf(stream, group.Name))];
        var documents = await store.GetStatesAsync(keys, cancellationToken).ConfigureAwait(false);
        var known = documents[0] is not { } note
            ? new Dictionary<string, StillGroup>()
            : JsonSerializer.Deserialize(note.Payload.Span, RetentionJson.Default.DictionaryStringStillGroup)!;
        var still = new Dictionary<string, StillGroup>();
        var (begun, abandoned) = (new List<string>(), new SortedDictionary<string, StillGroup>(StringComparer.Ordinal));
        for (var i = 0; i < groups.Count; i++)
        {
            var group = groups[i];
            var consumers = await _registry.ListAsync(stream, group.Name, cancellationToken).ConfigureAwait(false);
            if (consumers.Any(static consumer => consumer.IsAlive))
                continue;
            var again = await store.GetStreamInfoAsync(StreamNames.Again(stream, group.Name), cancellationToken).ConfigureAwait(false);
            still[group.Name] = new(group.LastDeliveredId, group.PendingCount, again?.LastGeneratedId, abandonedAfter);
            if (known.GetValueOrDefault(group.Name) != still[group.Name])
                begun.Add(group.Name);
            else if (documents[i + 1] is null)
                abandoned.Add(group.Name, still[group.Name]);
        }

        if (!dryRun && (begun.Count > 0 || known.Count != still.Count))
            await NoteAsync(stream, documents[0], still, begun, cancellationToken).ConfigureAwait(false);
        return abandoned;
    }

    /// <summary>
    /// Forgets a group altogether: itself, what is pending, its private stream with what is scheduled for it, its notes and documents. All at one
    /// moment, and only if nobody redrove to it or came back since it was looked at: a consumer says that it lives, then joins its group, and only then
    /// reads. So it is found below, or it is one more in the group than was seen, or it comes later and makes the group anew.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="seen">The group as it was when it was found to be abandoned.</param>
    /// <param name="still">Where it stood then.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <returns>Whether it is gone; otherwise it stays, or in the midst of very many parked keys goes on with their first attempt.</returns>
    public async ValueTask<bool> DeleteAsync(string stream, GroupInfo seen, StillGroup still, CancellationToken cancellationToken)
    {
        // First how the groups stand, then who lives: who joined before the first is found by the second, and who joins after it is one more.
        var (group, again) = (seen.Name, StreamNames.Again(stream, seen.Name));
        var privateGroup = (await store.GetGroupsAsync(again, cancellationToken).ConfigureAwait(false)).FirstOrDefault(found => found.Name == group);
        var consumers = await _registry.ListAsync(stream, group, cancellationToken).ConfigureAwait(false);
        if (consumers.Any(static consumer => consumer.IsAlive))
            return false;

        List<CommitCondition> unmoved = [CommitCondition.GroupIs(stream, seen), new CommitCondition.LastId(again, still.LastPrivate)];
        if (privateGroup is not null)
            unmoved.Add(CommitCondition.GroupIs(again, privateGroup));
        unmoved.AddRange(consumers.Take(StreamLimits.MaxCommitChanges - unmoved.Count)
            .Select(consumer => CommitCondition.StateAbsent(ConsumerRegistry.KeyOf(stream, group, consumer.Name))));

        var documents = await DocumentsAsync(stream, group, cancellationToken).ConfigureAwait(false);
        List<CommitChange> changes =
        [
            .. documents.Select(static key => new CommitChange.DeleteState(key)),
            BeginTime(stream, group, still), // The note has it still: one of that name that is made right now has all of its time, too.
            new CommitChange.DestroyGroup(stream, group),
        ];
        foreach (var part in changes.Chunk(StreamLimits.MaxCommitChanges))
        {
            var commit = new Commit { Conditions = unmoved, Changes = part, IsUpkeep = true };
            if (!(await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied)
                return false;
        }

        return true;
    }

    /// <summary>What a group keeps in documents that nobody else reads and that do not expire by themselves; its parked keys first.</summary>
    private async ValueTask<List<StateKey>> DocumentsAsync(string stream, string group, CancellationToken cancellationToken)
    {
        var (names, (window, taken)) = (new OrderNames(stream, group), RateLimiter.KeysOf(stream, group));
        var keys = new List<StateKey>();
        await foreach (var parked in new ParkedKeys(store).Of(stream, group).ListAsync(cancellationToken).ConfigureAwait(false))
            keys.Add(names.Parked(parked.Key));
        return [.. keys, names.Reader, names.Pulse, window, taken, RecoveryLedger.KeyOf(stream, group)];
    }

    /// <summary>The document of a group that expires when it has stood still for too long.</summary>
    private static StateKey TimeOf(string stream, string group) => new(stream, $"millrace/still/{group}");

    private static CommitChange BeginTime(string stream, string group, StillGroup still) =>
        new CommitChange.PutState(TimeOf(stream, group), default, still.AbandonedAfter);

    /// <summary>Begins the time of groups. On a conflict another process has noted the like, and the next run sees what.</summary>
    private async ValueTask NoteAsync(
        string stream, StateDocument? before, Dictionary<string, StillGroup> still, IEnumerable<string> begun, CancellationToken cancellationToken)
    {
        var key = KeyOf(stream);
        var condition = before is null ? CommitCondition.StateAbsent(key) : CommitCondition.StateIs(key, before.Version);
        CommitChange note = still.Count == 0
            ? new CommitChange.DeleteState(key)
            : new CommitChange.PutState(key, JsonSerializer.SerializeToUtf8Bytes(still, RetentionJson.Default.DictionaryStringStillGroup));

        // The note comes last, and so none knows a group whose time has not begun, however many commits it takes.
        var times = begun.Select(group => BeginTime(stream, group, still[group]));
        foreach (var changes in times.Append(note).Chunk(StreamLimits.MaxCommitChanges))
        {
            var commit = new Commit { Conditions = [condition], Changes = changes, IsUpkeep = true };
            if (!(await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied)
                return;
        }
    }
}

/// <summary>A group without a live consumer.</summary>
/// <param name="LastDelivered">Where it stood.</param>
/// <param name="Pending">How much was pending.</param>
/// <param name="LastPrivate">
/// The last ID of its private stream, which moves when somebody redrives to it; none where there is no such stream, and in a note of an older version: a group
/// that has one begins its time anew.
/// </param>
/// <param name="AbandonedAfter">How long it may stand there.</param>
internal sealed record StillGroup(EntryId LastDelivered, long Pending, EntryId? LastPrivate, TimeSpan AbandonedAfter);

/// <summary>How the document is written.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, Converters = [typeof(EntryIdJson)])]
[JsonSerializable(typeof(Dictionary<string, StillGroup>))]
internal sealed partial class RetentionJson : JsonSerializerContext;
