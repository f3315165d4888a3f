using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// The fields of an entry that goes to the group's private stream or to its dead letters: the original ones and its history.
/// </summary>
internal static class MovedEntry
{
    // What one error may take; with five of them history stays below 6 KiB.
    private const int MaxErrorBytes = 1024;
    private const int MaxErrors = 5;

    private static readonly JsonWriterOptions HistoryFormat = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The next attempt at a message that failed.</summary>
    public static EntryFields ForRetry(Delivery delivery, string error, DateTimeOffset now)
    {
        var writer = new EntryFieldsWriter();
        CopyMessage(writer, delivery);
        EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, delivery.Attempt + 1);
        writer.Add(EnvelopeFieldNames.Errors, AddError(delivery, error, now));
        return writer.ToFields();
    }

    /// <summary>A message the group gives up on.</summary>
    public static EntryFields ForDeadLetter(Delivery delivery, string group, string reason, string? error, DateTimeOffset now)
    {
        var writer = new EntryFieldsWriter();
        CopyMessage(writer, delivery, isDead: true);
        EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, delivery.Attempt);
        if (error is not null)
            writer.Add(EnvelopeFieldNames.Errors, AddError(delivery, error, now));
        else if (delivery.Entry.Fields.TryGet(EnvelopeFieldNames.Errors, out var errors))
            writer.Add(EnvelopeFieldNames.Errors, errors.Span);
        writer.Add(EnvelopeFieldNames.DeadReason, Cut(reason));
        if (error is not null)
            writer.Add(EnvelopeFieldNames.DeadError, Cut(error));
        writer.Add(EnvelopeFieldNames.DeadGroup, group);
        EnvelopeCodec.WriteTime(writer, EnvelopeFieldNames.DeadTime, now);
        return writer.ToFields();
    }

    /// <summary>An entry that was not begun: as it is, this delivery not counted.</summary>
    public static EntryFields ForHandBack(Delivery delivery)
    {
        var writer = new EntryFieldsWriter();
        CopyMessage(writer, delivery);
        if (delivery.Attempt > 1)
            EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, delivery.Attempt);
        if (delivery.Entry.Fields.TryGet(EnvelopeFieldNames.Errors, out var errors))
            writer.Add(EnvelopeFieldNames.Errors, errors.Span);
        return writer.ToFields();
    }

    public static string Describe(Exception exception) => $"{exception.GetType().Name}: {exception.Message}";

    /// <summary>
    /// Everything but the history, then where the entry came from and the deliveries before this one, which ended as it should. Why
    /// another group gave up stays with the message until this one does.
    /// </summary>
    private static void CopyMessage(EntryFieldsWriter writer, Delivery delivery, bool isDead = false)
    {
        var fields = delivery.Entry.Fields;
        foreach (var field in fields)
        {
            if (!IsHistory(field.Name.Span) && !(isDead && IsDeath(field.Name.Span)))
                writer.Add(field.Name.Span, field.Value.Span);
        }

        if (fields.TryGet(EnvelopeFieldNames.SourceId, out var sourceId))
            writer.Add(EnvelopeFieldNames.SourceId, sourceId.Span);
        else
            writer.Add(EnvelopeFieldNames.SourceId, delivery.Id.ToString());

        var deaths = delivery.PriorDeliveries + delivery.Entry.DeliveryCount - 1;
        if (deaths > 0)
            EnvelopeCodec.WriteNumber(writer, EntryFieldNames.PriorDeliveries, deaths);
    }

    private static bool IsHistory(ReadOnlySpan<byte> name) =>
        name.SequenceEqual(EnvelopeFieldNames.Attempt) || name.SequenceEqual(EnvelopeFieldNames.Errors) ||
        name.SequenceEqual(EnvelopeFieldNames.SourceId) || name.SequenceEqual(EntryFieldNames.PriorDeliveries);

    private static bool IsDeath(ReadOnlySpan<byte> name) =>
        name.SequenceEqual(EnvelopeFieldNames.DeadReason) || name.SequenceEqual(EnvelopeFieldNames.DeadError) ||
        name.SequenceEqual(EnvelopeFieldNames.DeadGroup) || name.SequenceEqual(EnvelopeFieldNames.DeadTime);

    private static ReadOnlySpan<byte> AddError(Delivery delivery, string error, DateTimeOffset now)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, HistoryFormat))
        {
            json.WriteStartArray();
            using var earlier = ReadHistory(delivery);
            foreach (var item in earlier?.RootElement.EnumerateArray().TakeLast(MaxErrors - 1) ?? [])
                item.WriteTo(json);
            json.WriteStartObject();
            json.WriteNumber("attempt"u8, delivery.Attempt);
            json.WriteString("time"u8, now.UtcDateTime);
            json.WriteString("error"u8, Cut(error));
            json.WriteEndObject();
            json.WriteEndArray();
        }

        return buffer.WrittenSpan;
    }

    private static JsonDocument? ReadHistory(Delivery delivery)
    {
        if (!delivery.Entry.Fields.TryGet(EnvelopeFieldNames.Errors, out var errors))
            return null;
        try
        {
            var document = JsonDocument.Parse(errors);
            if (document.RootElement.ValueKind == JsonValueKind.Array)
                return document;
            document.Dispose();
            return null;
        }
        catch (JsonException)
        {
            // Some other program's field of that name: history starts anew, the message itself is untouched.
            return null;
        }
    }

    private static ReadOnlySpan<byte> Cut(string text)
    {
        var bytes = new byte[MaxErrorBytes];

        // Converts what fits, whole characters only.
        Encoding.UTF8.GetEncoder().Convert(text, bytes, flush: true, out _, out var used, out _);
        return bytes.AsSpan(0, used);
    }
}
