using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Who consumes. Each consumer keeps a state document beside its stream, written every 10 seconds with a time to live of 30: it alone tells
/// the living from the dead, because idle times do not on every Redis. A singleton where Millrace is added; made by hand anywhere else.
/// </summary>
/// <param name="store">The store.</param>
public sealed class ConsumerRegistry(IStreamStore store)
{
    // Large enough to amortize a round trip.
    private const int PageSize = 1_000;

    /// <summary>
    /// Lists the consumers of a group by name, dead ones that still hold something included. Two round trips, and one a thousand consumers.
    /// </summary>
    /// <param name="stream">The stream the group reads.</param>
    /// <param name="group">The group; it need not run in this process.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>None when there is no such group.</returns>
    /// <exception cref="ArgumentException">A name is empty, too long or has stray braces.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    /// <exception cref="JsonException">A document is not one of a consumer.</exception>
    public async ValueTask<IReadOnlyList<GroupConsumer>> ListAsync(
        string stream, string group, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        var pending = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var source in new[] { stream, StreamNames.Again(stream, group) })
        {
            foreach (var consumer in await FindConsumersAsync(store, source, group, cancellationToken).ConfigureAwait(false))
                pending[consumer.Name] = pending.GetValueOrDefault(consumer.Name) + consumer.PendingCount;
        }

        var listed = new List<GroupConsumer>(pending.Count);
        foreach (var page in pending.Chunk(PageSize))
        {
            var documents = await store.GetStatesAsync([.. page.Select(consumer => KeyOf(stream, group, consumer.Key))], cancellationToken)
                .ConfigureAwait(false);
            listed.AddRange(page.Zip(documents, (consumer, document) => new GroupConsumer(consumer.Key, consumer.Value, Read(document))));
        }

        return listed;
    }

    /// <summary>The document of a consumer.</summary>
    internal static StateKey KeyOf(string stream, string group, string consumer) => new(stream, $"millrace/consumer/{group}/{consumer}");

    internal static byte[] Write(ConsumerInstance instance) =>
        JsonSerializer.SerializeToUtf8Bytes(instance, RegistryJson.Default.ConsumerInstance);

    /// <summary>None where the group is missing, as its private stream is before anything is retried.</summary>
    internal static async ValueTask<IReadOnlyList<ConsumerInfo>> FindConsumersAsync(
        IStreamStore store, string stream, string group, CancellationToken cancellationToken)
    {
        try
        {
            return await store.GetConsumersAsync(stream, group, cancellationToken).ConfigureAwait(false);
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.NoGroup)
        {
            return [];
        }
    }

    private static ConsumerInstance? Read(StateDocument? document) =>
        document is null ? null : JsonSerializer.Deserialize(document.Payload.Span, RegistryJson.Default.ConsumerInstance);
}

/// <summary>How the documents of consumers are written.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ConsumerInstance))]
internal sealed partial class RegistryJson : JsonSerializerContext;
