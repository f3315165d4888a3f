using System.Text;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// The fields of an entry that goes to the group's private stream or to its dead letters: the original ones and its history.
/// </summary>
internal static class MovedEntry
{
    // What one error may take; with the five that are kept history stays below 6 KiB.
    private const int MaxErrorBytes = 1024;

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
    public static EntryFields ForDeadLetter(Delivery delivery, GroupPlan plan, string reason, Exception? failure, DateTimeOffset now)
    {
        var error = failure is null ? null : Describe(failure);
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
        if (failure is not null)
            writer.Add(EnvelopeFieldNames.DeadException, Cause.WriteExceptions(failure));
        writer.Add(EnvelopeFieldNames.DeadCause, Cause.Fingerprint(reason, failure));
        writer.Add(EnvelopeFieldNames.DeadGroup, plan.Group);
        writer.Add(EnvelopeFieldNames.DeadConsumer, plan.Consumer);
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
            var name = field.Name.Span;
            if (!IsHistory(name) && !(isDead && EnvelopeFieldNames.IsDeath(name)) && !IsForeignRedrive(delivery, name))
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

    /// <summary>Redrives are this group's own business, too: those of a letter it reads as a stream are another group's.</summary>
    private static bool IsForeignRedrive(Delivery delivery, ReadOnlySpan<byte> name) => !delivery.IsAgain &&
        (name.SequenceEqual(EnvelopeFieldNames.Redrives) || name.SequenceEqual(EnvelopeFieldNames.Redriven));

    internal static ReadOnlySpan<byte> AddError(Delivery delivery, string error, DateTimeOffset now) => JsonHistory.Add(
        delivery.Entry.Fields, EnvelopeFieldNames.Errors, (delivery.Attempt, error, now), static (json, item) =>
        {
            json.WriteNumber("attempt"u8, item.Attempt);
            json.WriteString("time"u8, item.now.UtcDateTime);
            json.WriteString("error"u8, Cut(item.error));
        });

    private static ReadOnlySpan<byte> Cut(string text)
    {
        var bytes = new byte[MaxErrorBytes];

        // Converts what fits, whole characters only.
        Encoding.UTF8.GetEncoder().Convert(text, bytes, flush: true, out _, out var used, out _);
        return bytes.AsSpan(0, used);
    }
}
