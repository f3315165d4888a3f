using System.Globalization;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>The first entry of a key that failed and stays first: the content of its key's document.</summary>
internal sealed record ParkedHead
{
    public required string Key { get; init; }

    /// <summary>Whether the entry is pending in the group's private stream.</summary>
    public required bool IsAgain { get; init; }

    public required EntryId Id { get; init; }

    /// <summary>The attempt that is next.</summary>
    public required int Attempt { get; init; }

    /// <summary>How many of the entry's deliveries ended as they should. What is beyond them are deaths.</summary>
    public required long EndedDeliveries { get; init; }

    /// <summary>When the key was parked, by the clock of the process that did.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>Whether all attempts are made, so that it waits for somebody to act.</summary>
    public required bool IsExhausted { get; init; }

    /// <summary>The errors so far, as in <see cref="EnvelopeFieldNames.Errors"/>; <see langword="null"/>: none.</summary>
    public required ReadOnlyMemory<byte>? Errors { get; init; }

    /// <summary>What is to be kept of a delivery of a key that did not settle its entry.</summary>
    /// <param name="delivery">The delivery.</param>
    /// <param name="error">What went wrong, or <see langword="null"/>: it was cut short, which is no attempt.</param>
    /// <param name="isExhausted">Whether there is no attempt left.</param>
    /// <param name="now">The moment.</param>
    public static ParkedHead After(Delivery delivery, Exception? error, bool isExhausted, DateTimeOffset now)
    {
        var turn = delivery.Turn!;
        return new()
        {
            Key = turn.Key!,
            IsAgain = delivery.IsAgain,
            Id = delivery.Id,
            Attempt = delivery.Attempt + (error is null ? 0 : 1),
            EndedDeliveries = (turn.Parked?.EndedDeliveries ?? 0) + 1,
            Since = turn.Parked?.Since ?? now,
            IsExhausted = isExhausted,
            Errors = error is null
                ? turn.Parked?.Errors
                : MovedEntry.AddError(delivery, MovedEntry.Describe(error), now).ToArray(),
        };
    }

    /// <summary>The errors so far, read.</summary>
    public IReadOnlyList<DeadLetterAttempt> Attempts =>
        Errors is null ? [] : new DeadLetter(new(Id, AddHistoryTo(EntryFields.Create(("key", Key))))).Attempts;

    /// <summary>The same head with all attempts before it again.</summary>
    public ParkedHead Renewed() => this with { Attempt = 1, IsExhausted = false };

    public ReadOnlyMemory<byte> Write()
    {
        var writer = new EntryFieldsWriter();
        writer.Add("key"u8, Key);
        writer.Add(IsAgain ? "again"u8 : "entry"u8, Id.ToString());
        EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, Attempt);
        EnvelopeCodec.WriteNumber(writer, "ended"u8, EndedDeliveries);
        EnvelopeCodec.WriteTime(writer, "since"u8, Since);
        if (IsExhausted)
            writer.Add("exhausted"u8, "1"u8);
        if (Errors is { } errors)
            writer.Add(EnvelopeFieldNames.Errors, errors.Span);
        return writer.ToFields().Packed;
    }

    public static ParkedHead Read(StateDocument document)
    {
        var fields = EntryFields.FromPacked(document.Payload);
        var isAgain = fields.TryGet("again"u8, out var id) || !fields.TryGet("entry"u8, out id);
        return new()
        {
            Key = fields.GetText("key"u8) ?? "",
            IsAgain = isAgain,
            Id = EntryId.TryParse(id.Span, out var parsed) ? parsed : default,
            Attempt = EnvelopeCodec.Decode(fields).Attempt,
            EndedDeliveries = long.TryParse(fields.GetText("ended"u8), CultureInfo.InvariantCulture, out var ended) ? ended : 0,
            Since = DateTimeOffset.TryParse(
                fields.GetText("since"u8), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var since) ? since : default,
            IsExhausted = fields.TryGet("exhausted"u8, out _),
            Errors = fields.TryGet(EnvelopeFieldNames.Errors, out var errors) ? errors : null,
        };
    }

    /// <summary>The entry as its next attempt sees it: with the attempt and the errors that a copy in the private stream would have.</summary>
    public EntryFields AddHistoryTo(EntryFields fields)
    {
        if (fields.Count == 0)
            return fields; // Deleted meanwhile.
        var writer = new EntryFieldsWriter();
        foreach (var field in fields)
        {
            var name = field.Name.Span;
            var isAttempts = name.SequenceEqual(EnvelopeFieldNames.Attempt) || name.SequenceEqual(EnvelopeFieldNames.Errors);
            if (!IsAgain && (isAttempts || name.SequenceEqual(EntryFieldNames.PriorDeliveries)))
                writer.Add(MovedEntry.Foreign(name), field.Value.Span);
            else if (!isAttempts)
                writer.Add(name, field.Value.Span);
        }

        EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, Attempt);
        if (Errors is { } errors)
            writer.Add(EnvelopeFieldNames.Errors, errors.Span);
        return writer.ToFields();
    }
}
