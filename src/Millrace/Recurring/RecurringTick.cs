using System.Text.Json.Serialization;

namespace Millrace.Recurring;

/// <summary>The scheduled entry that makes a recurring message and schedules the next of its kind.</summary>
/// <param name="Due">The moment that is due, or, for the first tick of a recurrence, when it was begun.</param>
/// <param name="Epoch">Which chain it belongs to; a tick of an earlier one does nothing.</param>
/// <param name="IsDated">Whether it was sent round only for the store to say, by its new ID, what time it is.</param>
[Message("millrace.tick")]
internal sealed record RecurringTick(
    [property: JsonPropertyName("due")] DateTimeOffset Due,
    [property: JsonPropertyName("epoch")] long Epoch,
    [property: JsonPropertyName("dated"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)] bool IsDated = false);

/// <summary>Where a recurring message stands: a state document of its stream.</summary>
/// <param name="Recurrence">The recurrence, as <see cref="Millrace.Recurrence.ToString"/> writes it.</param>
/// <param name="Missed">What becomes of missed firings.</param>
/// <param name="Epoch">The chain that is valid.</param>
/// <param name="Next">The next moment that has not been made a message of, or <see langword="null"/>: there is none any more.</param>
/// <param name="MovedAt">When the chain was begun, by the clock of who began it, or last fired, no later than by the store's.</param>
/// <param name="Last">The last moment that was made a message of, in whichever chain.</param>
/// <param name="BegunAt">
/// When the recurrence was begun, by the clock of who began it, until its first tick has come; it has no <paramref name="Next"/> before. A process of a
/// version that does not know of it finds that tick to be of no chain.
/// </param>
internal sealed record RecurringState(
    [property: JsonPropertyName("recurrence")] string Recurrence,
    [property: JsonPropertyName("missed"), JsonConverter(typeof(JsonStringEnumConverter<MissedFirings>))] MissedFirings Missed,
    [property: JsonPropertyName("epoch")] long Epoch,
    [property: JsonPropertyName("next")] DateTimeOffset? Next,
    [property: JsonPropertyName("moved")] DateTimeOffset? MovedAt = null,
    [property: JsonPropertyName("last")] DateTimeOffset? Last = null,
    [property: JsonPropertyName("begun"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] DateTimeOffset? BegunAt = null)
{
    [JsonIgnore]
    public bool IsNew => BegunAt is not null;

    /// <summary>What the tick that is under way says.</summary>
    [JsonIgnore]
    public DateTimeOffset? NextTick => BegunAt ?? Next;
}

[JsonSerializable(typeof(RecurringTick))]
[JsonSerializable(typeof(RecurringState))]
internal sealed partial class RecurringJson : JsonSerializerContext;
