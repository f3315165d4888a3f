using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Consuming;
using Millrace.Consuming.Ordered;
using Millrace.Recovery;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Finds the groups of a stream that have had no live consumer, and did not move, for too long. Since when is kept in a state document, so
/// that it does not begin anew with each process.
/// </summary>
internal sealed class AbandonedGroups(IStreamStore store, TimeProvider time)
{
    private readonly ConsumerRegistry _registry = new(store);

    /// <summary>The document of a stream.</summary>
    public static StateKey KeyOf(string stream) => new(stream, "millrace/groups");

    public async ValueTask<List<string>> FindAsync(
        string stream, IEnumerable<GroupInfo> groups, TimeSpan abandonedAfter, CancellationToken cancellationToken)
    {
        var key = KeyOf(stream);
        var document = await store.GetStateAsync(key, cancellationToken).ConfigureAwait(false);
        var known = document is null
            ? new Dictionary<string, StillGroup>()
            : JsonSerializer.Deserialize(document.Payload.Span, RetentionJson.Default.DictionaryStringStillGroup)!;
        var still = new Dictionary<string, StillGroup>();
        var now = time.GetUtcNow();
        foreach (var group in groups)
        {
            var consumers = await _registry.ListAsync(stream, group.Name, cancellationToken).ConfigureAwait(false);
            if (consumers.Any(static consumer => consumer.IsAlive))
                continue;
            var seen = new StillGroup(group.LastDeliveredId, group.PendingCount, now);
            still[group.Name] = known.TryGetValue(group.Name, out var before) && before with { Since = now } == seen ? before : seen;
        }

        await NoteAsync(key, known, still, cancellationToken).ConfigureAwait(false);
        return [.. still.Where(group => now - group.Value.Since >= abandonedAfter).Select(static group => group.Key).Order(StringComparer.Ordinal)];
    }

    /// <summary>
    /// Forgets a group altogether: itself, what is pending, its private stream with what is scheduled for it, its notes and documents. All at one
    /// moment, and only if nobody came back since it was looked at: a consumer says that it lives, then joins its group, and only then reads. So it is found
    /// below, or it is one more in the group than was seen, or it comes later and makes the group anew.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="seen">The group as it was when it was found to be abandoned.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <returns>Whether it is gone; otherwise it stays, or in the midst of very many parked keys goes on with their first attempt.</returns>
    public async ValueTask<bool> DeleteAsync(string stream, GroupInfo seen, CancellationToken cancellationToken)
    {
        // First how the groups stand, then who lives: who joined before the first is found by the second, and who joins after it is one more.
        var (group, again) = (seen.Name, StreamNames.Again(stream, seen.Name));
        var privateGroup = (await store.GetGroupsAsync(again, cancellationToken).ConfigureAwait(false)).FirstOrDefault(found => found.Name == group);
        var hasPrivate = privateGroup is not null || await store.GetStreamInfoAsync(again, cancellationToken).ConfigureAwait(false) is not null;
        var consumers = await _registry.ListAsync(stream, group, cancellationToken).ConfigureAwait(false);
        if (consumers.Any(static consumer => consumer.IsAlive))
            return false;

        List<CommitCondition> unmoved = [CommitCondition.GroupIs(stream, seen)];
        if (privateGroup is not null)
            unmoved.Add(CommitCondition.GroupIs(again, privateGroup));
        else if (!hasPrivate)
            unmoved.Add(CommitCondition.NoStream(again));
        unmoved.AddRange(consumers.Take(StreamLimits.MaxCommitChanges - unmoved.Count)
            .Select(consumer => CommitCondition.StateAbsent(ConsumerRegistry.KeyOf(stream, group, consumer.Name))));

        var documents = await DocumentsAsync(stream, group, cancellationToken).ConfigureAwait(false);
        var changes = documents.Select(static CommitChange (key) => new CommitChange.DeleteState(key)).Append(new CommitChange.DestroyGroup(stream, group));
        foreach (var part in changes.Chunk(StreamLimits.MaxCommitChanges))
        {
            var commit = new Commit { Conditions = unmoved, Changes = part };
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

    private async ValueTask NoteAsync(
        StateKey key, Dictionary<string, StillGroup> known, Dictionary<string, StillGroup> still, CancellationToken cancellationToken)
    {
        if (known.Count == still.Count && still.All(group => known.GetValueOrDefault(group.Key) == group.Value))
            return;
        CommitChange change = still.Count == 0
            ? new CommitChange.DeleteState(key)
            : new CommitChange.PutState(key, JsonSerializer.SerializeToUtf8Bytes(still, RetentionJson.Default.DictionaryStringStillGroup));
        await store.CommitAsync(new Commit { Changes = [change], IsUpkeep = true }, cancellationToken).ConfigureAwait(false);
    }
}

/// <summary>A group without a live consumer.</summary>
/// <param name="LastDelivered">Where it stood.</param>
/// <param name="Pending">How much was pending.</param>
/// <param name="Since">Since when, by the clock of who saw it first.</param>
internal sealed record StillGroup(EntryId LastDelivered, long Pending, DateTimeOffset Since);

/// <summary>How the document is written.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, Converters = [typeof(EntryIdJson)])]
[JsonSerializable(typeof(Dictionary<string, StillGroup>))]
internal sealed partial class RetentionJson : JsonSerializerContext;
