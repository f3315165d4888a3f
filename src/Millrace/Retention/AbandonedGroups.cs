using System.Text.Json;
using System.Text.Json.Serialization;
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
        string stream, IReadOnlyList<GroupInfo> groups, TimeSpan abandonedAfter, CancellationToken cancellationToken)
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

    /// <summary>Forgets a group altogether: itself, what is pending, its private stream, and the note on where it stood.</summary>
    public async ValueTask DeleteAsync(string stream, string group, CancellationToken cancellationToken)
    {
        await store.DestroyGroupAsync(stream, group, cancellationToken).ConfigureAwait(false);
        await store.DeleteStreamAsync(StreamNames.Again(stream, group), cancellationToken).ConfigureAwait(false);
        await store.CommitAsync(
            new Commit { Changes = [new CommitChange.DeleteState(RecoveryLedger.KeyOf(stream, group))] }, cancellationToken).ConfigureAwait(false);
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
