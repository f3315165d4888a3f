using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Streams;

namespace Millrace.Recovery;

/// <summary>Where a group stood, kept outside its stream: what is needed to make the group again, and to see what is missing.</summary>
internal sealed record GroupLedger
{
    // A flush each, and all processes learn of it within a lease.
    private const int MaxLives = 8;

    /// <summary>The group has settled everything up to this entry.</summary>
    public required EntryId SettledThrough { get; init; }

    public required EntryId LastDelivered { get; init; }

    /// <summary>The last ID its stream had given. Never goes back while nothing is lost.</summary>
    public required EntryId StreamLastId { get; init; }

    /// <summary>Entries ever appended to the stream. Never goes back while nothing is lost.</summary>
    public required long EntriesAdded { get; init; }

    /// <summary>Entries of the stream that were pending or not delivered, or <see langword="null"/>: not known.</summary>
    public required long? Unsettled { get; init; }

    /// <summary>
    /// Entries in the group's private stream or scheduled for it: unsettled, or all there is of what a dead letter left out
    /// (<see cref="DeadLetter.Omitted"/>), which is lost with the stream as well.
    /// </summary>
    public required long Retries { get; init; }

    /// <summary>The last ID of the private stream.</summary>
    public required EntryId AgainLastId { get; init; }

    /// <summary>
    /// A mark drawn when the group was noted for the first time, and those of the notes it was joined with. Two notes that share none are of two
    /// lives of the store: it forgot the older one, even if everything counts higher again by now.
    /// </summary>
    public IReadOnlyList<string> Lives { get => field ?? []; init; } = []; // Null from a document without them.

    /// <summary>Losses reported so far: who finds more of them here than he knows of need not report what he sees.</summary>
    public long Losses { get; init; }

    /// <summary>Who reported the last of them: it may have heard of no answer when it noted that, and reports it when it finds its name here.</summary>
    public string? ToldBy { get; init; }

    /// <summary>Whether this was noted after the other one, of which it may know nothing: a document may be older than our memory.</summary>
    public bool IsAhead(GroupLedger other) => !IsOfOneLife(other) || (Losses != other.Losses
        ? Losses > other.Losses
        : EntriesAdded > other.EntriesAdded || StreamLastId > other.StreamLastId);

    /// <summary>Whether both are notes of one life of the store. Those of earlier releases have no mark and pass.</summary>
    public bool IsOfOneLife(GroupLedger other) => Lives.Count == 0 || other.Lives.Count == 0 || Lives.Intersect(other.Lives).Any();

    /// <summary>The marks of both, the newest <see cref="MaxLives"/>.</summary>
    public IReadOnlyList<string> JoinLives(GroupLedger? other) => [.. Lives.Union(other?.Lives ?? []).TakeLast(MaxLives)];

    // Records compare lists by reference.
    public bool Equals(GroupLedger? other) => other is not null && Standing == other.Standing && Lives.SequenceEqual(other.Lives);

    public override int GetHashCode() => Standing.GetHashCode();

    private (EntryId, EntryId, EntryId, long, long?, long, EntryId, long, string?) Standing =>
        (SettledThrough, LastDelivered, StreamLastId, EntriesAdded, Unsettled, Retries, AgainLastId, Losses, ToldBy);

    /// <summary>Whether a stream that was like this can be like that.</summary>
    public bool CanBecome(EntryId lastId, long entriesAdded) => lastId >= StreamLastId && entriesAdded >= EntriesAdded;

    public byte[] Write() => JsonSerializer.SerializeToUtf8Bytes(this, LedgerJson.Default.GroupLedger);

    public static GroupLedger? Read(StateDocument? document) =>
        document is null ? null : JsonSerializer.Deserialize(document.Payload.Span, LedgerJson.Default.GroupLedger);
}

/// <summary>How ledgers are written.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, Converters = [typeof(EntryIdJson)])]
[JsonSerializable(typeof(GroupLedger))]
internal sealed partial class LedgerJson : JsonSerializerContext;

/// <summary>An entry ID as its text.</summary>
internal sealed class EntryIdJson : JsonConverter<EntryId>
{
    public override EntryId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        EntryId.TryParse(reader.GetString(), null, out var id) ? id : throw new JsonException("There is no entry ID.");

    public override void Write(Utf8JsonWriter writer, EntryId value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.ToString());
}
