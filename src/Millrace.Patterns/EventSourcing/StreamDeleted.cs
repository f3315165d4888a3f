using System.Text.Json.Serialization;

namespace Millrace.EventSourcing;

/// <summary>The tombstone: the last event of a stream that was deleted. All before it are gone.</summary>
/// <param name="Reason">Why, for people; or <see langword="null"/>.</param>
[Message("millrace.stream-deleted")]
public sealed record StreamDeleted(string? Reason);

/// <summary>JSON of the event store's own event, for applications without reflection.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(StreamDeleted))]
[JsonSerializable(typeof(EventStore.ArchiveEnd))]
internal sealed partial class EventSourcingJson : JsonSerializerContext;
