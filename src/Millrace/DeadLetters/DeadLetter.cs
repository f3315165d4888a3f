using System.Text.Json;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// A message a group gave up on, with everything known about why. Nothing is decoded before it is asked for, and what other programs wrote
/// into the stream is read as far as it goes.
/// </summary>
public sealed class DeadLetter
{
    internal DeadLetter(StreamEntry entry)
    {
        Id = entry.Id;
        Headers = new(entry.Id, entry.Fields);
    }

    /// <summary>The letter's ID among the dead letters, which is not the message's: see <see cref="MessageHeaders.MessageId"/>.</summary>
    public EntryId Id { get; }

    /// <summary>Everything the entry says about the message, <see cref="MessageHeaders.SourceId"/> included.</summary>
    public MessageHeaders Headers { get; }

    /// <summary>When it was written, by the store's clock.</summary>
    public DateTimeOffset Time => DateTimeOffset.FromUnixTimeMilliseconds(
        (long)Math.Min(Id.Milliseconds, (ulong)DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()));

    /// <summary>Why the group gave up: one of <see cref="DeadLetterReasons"/>, or what a handler said.</summary>
    public string Reason => Headers.DeadReason ?? "";

    /// <summary>
    /// The fingerprint of the cause: 16 hexadecimal digits, the same for letters with the same reason, exception types and top frame.
    /// </summary>
    public string Cause => Headers.Fields.GetText(EnvelopeFieldNames.DeadCause) ?? Millrace.Cause.Fingerprint(Reason, null);

    /// <summary>The last error in one line, or <see langword="null"/>.</summary>
    public string? Error => Headers.Fields.GetText(EnvelopeFieldNames.DeadError);

    /// <summary>The process that gave up, or <see langword="null"/>.</summary>
    public string? Consumer => Headers.Fields.GetText(EnvelopeFieldNames.DeadConsumer);

    /// <summary>
    /// What had to be left out of an entry larger than any store of ours takes, and where that is, such as <c>3 fields, 20000000 bytes of entry 1700000000000-0
    /// of orders</c>, or <see langword="null"/>: nothing. The entry is kept there until the stream is trimmed, also where what is settled is otherwise deleted.
    /// Where that is the group's private stream nobody trims it: delete the entry when it is not needed any more. Until then it counts as one that waits.
    /// </summary>
    public string? Omitted => Headers.Fields.GetText(EnvelopeFieldNames.DeadOmitted);

    /// <summary>The message itself, bytes as they were published; empty when the entry has none.</summary>
    public ReadOnlyMemory<byte> Data => Headers.Fields.TryGet(EnvelopeFieldNames.Data, out var data) ? data : default;

    /// <summary>How often it was redriven already.</summary>
    public int Redrives => int.TryParse(Headers.Fields.GetText(EnvelopeFieldNames.Redrives), out var count) ? Math.Max(0, count) : 0;

    /// <summary>The last exception, outermost first, then what was inside it; at most five.</summary>
    public IReadOnlyList<DeadLetterException> Exceptions => Read(EnvelopeFieldNames.DeadException, static item =>
        new DeadLetterException(Text(item, "type"u8) ?? "", Text(item, "message"u8) ?? "", Text(item, "stack"u8)));

    /// <summary>The attempts that failed, oldest first; the last five.</summary>
    public IReadOnlyList<DeadLetterAttempt> Attempts => Read(EnvelopeFieldNames.Errors, static item =>
        new DeadLetterAttempt(Number(item, "attempt"u8), Moment(item), Text(item, "error"u8) ?? ""));

    /// <summary>The redrives of this message, oldest first; the last five.</summary>
    public IReadOnlyList<DeadLetterRedrive> RedriveHistory => Read(EnvelopeFieldNames.Redriven, static item =>
        new DeadLetterRedrive(
            Text(item, "by"u8) ?? "", Moment(item), Get(item, "edited"u8, static value => value.ValueKind == JsonValueKind.True)));

    private List<T> Read<T>(ReadOnlySpan<byte> field, Func<JsonElement, T> read)
    {
        using var items = JsonHistory.Read(Headers.Fields, field);
        return items is null
            ? []
            : [.. items.RootElement.EnumerateArray().Where(item => item.ValueKind == JsonValueKind.Object).Select(read)];
    }

    private static string? Text(JsonElement item, ReadOnlySpan<byte> name) =>
        Get(item, name, static value => value.ValueKind == JsonValueKind.String ? value.GetString() : null);

    private static int Number(JsonElement item, ReadOnlySpan<byte> name) =>
        Get(item, name, static value => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) ? number : 0);

    private static DateTimeOffset? Moment(JsonElement item) => Get<DateTimeOffset?>(
        item, "time"u8, static value => value.ValueKind == JsonValueKind.String && value.TryGetDateTimeOffset(out var time) ? time : null);

    private static T? Get<T>(JsonElement item, ReadOnlySpan<byte> name, Func<JsonElement, T?> read)
    {
        try
        {
            return item.TryGetProperty(name, out var value) ? read(value) : default;
        }
        catch (InvalidOperationException)
        {
            // Half a surrogate pair or bytes that are no UTF-8, which JSON of other programs can have, in names too.
            return default;
        }
    }
}

/// <summary>One exception of a dead letter, its texts cut to some length.</summary>
/// <param name="Type">The full name of its class.</param>
/// <param name="Message">What it said.</param>
/// <param name="StackTrace">Where it came from, when it was thrown.</param>
public sealed record DeadLetterException(string Type, string Message, string? StackTrace);

/// <summary>One failed attempt.</summary>
/// <param name="Attempt">Which one, 1 for the first; begins anew with a redrive.</param>
/// <param name="Time">When it failed, or <see langword="null"/> when the entry does not say.</param>
/// <param name="Error">The error in one line.</param>
public sealed record DeadLetterAttempt(int Attempt, DateTimeOffset? Time, string Error);

/// <summary>One redrive of a message.</summary>
/// <param name="By">Who did it.</param>
/// <param name="Time">When, or <see langword="null"/> when the entry does not say.</param>
/// <param name="IsEdited">Whether the payload was replaced.</param>
public sealed record DeadLetterRedrive(string By, DateTimeOffset? Time, bool IsEdited);

/// <summary>Dead letters of one cause.</summary>
/// <param name="Cause">Its fingerprint, see <see cref="DeadLetter.Cause"/>.</param>
/// <param name="Count">How many there are.</param>
/// <param name="Oldest">The first of them.</param>
/// <param name="Newest">The last of them.</param>
public sealed record DeadLetterCause(string Cause, long Count, DeadLetter Oldest, DeadLetter Newest);
