using System.Globalization;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

/// <summary>What an operator did with one dead letter.</summary>
public sealed record DeadLetterNote
{
    /// <summary>The note's own ID, with the moment it was written by the store's clock.</summary>
    public required EntryId Id { get; init; }

    /// <summary><c>redrive</c>, <c>redrive edited</c> or <c>delete</c>.</summary>
    public required string Action { get; init; }

    /// <summary>Who.</summary>
    public required string By { get; init; }

    /// <summary>When, by the clock of the process that did it.</summary>
    public required DateTimeOffset? Time { get; init; }

    /// <summary>Why, in the operator's words, or <see langword="null"/>.</summary>
    public string? Text { get; init; }

    /// <summary>The letter it was done with.</summary>
    public required EntryId LetterId { get; init; }

    /// <summary>The message ID of the letter.</summary>
    public required string MessageId { get; init; }

    /// <summary>The cause of the letter.</summary>
    public required string Cause { get; init; }

    /// <summary>The payload before an edit, or <see langword="null"/> when it was not edited.</summary>
    public ReadOnlyMemory<byte>? OriginalData { get; init; }

    internal static EntryFields Write(string action, string by, string? text, DeadLetter letter, DateTimeOffset now)
    {
        var writer = new EntryFieldsWriter();
        writer.Add("action"u8, action);
        writer.Add("by"u8, by);
        EnvelopeCodec.WriteTime(writer, "time"u8, now);
        if (text is not null)
            writer.Add("note"u8, text);
        writer.Add("letter"u8, letter.Id.ToString());
        writer.Add("message"u8, letter.Headers.MessageId);
        writer.Add("cause"u8, letter.Cause);
        if (action == EditedRedrive)
            writer.Add("data"u8, letter.Data.Span);
        return writer.ToFields();
    }

    internal const string Redrive = "redrive";

    internal const string EditedRedrive = "redrive edited";

    internal const string Delete = "delete";

    internal static DeadLetterNote Read(StreamEntry entry) => new()
    {
        Id = entry.Id,
        Action = entry.Fields.GetText("action"u8) ?? "",
        By = entry.Fields.GetText("by"u8) ?? "",
        Time = DateTimeOffset.TryParse(
            entry.Fields.GetText("time"u8), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time : null,
        Text = entry.Fields.GetText("note"u8),
        LetterId = entry.Fields.TryGet("letter"u8, out var id) && EntryId.TryParse(id.Span, out var letter) ? letter : default,
        MessageId = entry.Fields.GetText("message"u8) ?? "",
        Cause = entry.Fields.GetText("cause"u8) ?? "",
        OriginalData = entry.Fields.TryGet("data"u8, out var data) ? data : null,
    };
}
