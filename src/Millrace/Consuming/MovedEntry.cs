using System.Text;
using Millrace.Consuming.Ordered;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// The fields of an entry that goes to the group's private stream or to its dead letters: the original ones and its history.
/// </summary>
internal static class MovedEntry
{
    // What one error may take as it is written; with the five that are kept history stays below 6 KiB.
    private const int MaxErrorBytes = 1024;

    // What a retry, a letter and a redrive may take of their message, beside StreamLimits.MaxFields. The rest of what a copy may have is for its history, below
    // 32 KiB each; an entry within the limits of a store is whole in all of them, also where each of its fields got a longer name.
    private const int MaxMessageBytes = StreamLimits.MaxEntryBytes + (16 * 1024);

    // The lengths of a name and a value at most.
    private const int FieldOverheadBytes = 10;

    /// <summary>The next attempt at a message that failed; null where another program wrote more than a copy can have.</summary>
    public static EntryFields? ForRetry(Delivery delivery, string error, DateTimeOffset now)
    {
        var writer = new EntryFieldsWriter();
        if (CopyMessage(writer, delivery).Fields > 0)
            return null;
        EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, delivery.Attempt + 1);
        writer.Add(EnvelopeFieldNames.Errors, AddError(delivery, error, now));
        return writer.ToFields();
    }

    /// <summary>
    /// A message the group gives up on. What another program wrote beyond the limits of a store is left out field by field, and the letter says so:
    /// otherwise it could go nowhere, and would come back for ever. See <see cref="IsCut"/>.
    /// </summary>
    public static EntryFields ForDeadLetter(
        Delivery delivery, GroupPlan plan, string reason, Exception? failure, DateTimeOffset now, CommitCondition.Exists whole)
    {
        var error = failure is null ? null : Describe(failure);
        var writer = new EntryFieldsWriter();
        var (omittedFields, omittedBytes) = CopyMessage(writer, delivery, isDead: true);

        // The letters of all lanes are in one stream, and come back without a lane.
        if (plan.LaneStream is not null && !delivery.Entry.Fields.TryGet(EnvelopeFieldNames.Id, out _))
            writer.Add(EnvelopeFieldNames.Id, delivery.ReadHeaders(plan).MessageId);
        EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, delivery.Attempt);
        if (error is not null)
            writer.Add(EnvelopeFieldNames.Errors, AddError(delivery, error, now));
        else if (HistoryOf(delivery).TryGet(EnvelopeFieldNames.Errors, out var errors))
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
        if (omittedFields > 0)
            writer.Add(EnvelopeFieldNames.DeadOmitted, $"{omittedFields} fields, {omittedBytes} bytes of entry {whole.Id} of {whole.Stream}");

        return writer.ToFields();
    }

    /// <summary>Whether a copy in the private stream can be retried, and end in a letter, whole. Otherwise its first failure would cut it.</summary>
    public static bool StaysWhole(EntryFields copy)
    {
        var (fields, bytes) = (0, 0L);
        var source = new MessageHeaders(default, copy).SourceId;
        foreach (var field in copy)
        {
            if (!EnvelopeFieldNames.IsHistory(field.Name.Span) && !IsIdOfLane(field, source))
                (fields, bytes) = (fields + 1, bytes + SizeOf(field.Name.Span, field.Value));
        }

        return fields <= StreamLimits.MaxFields && bytes <= MaxMessageBytes;
    }

    /// <summary>Whether a letter is not all of its message. The entry it names is the only whole one then, and stays where it is.</summary>
    public static bool IsCut(EntryFields letter) => letter.TryGet(EnvelopeFieldNames.DeadOmitted, out _);

    /// <summary>An entry that was not begun: as it is, this delivery not counted.</summary>
    public static EntryFields ForHandBack(Delivery delivery)
    {
        var writer = new EntryFieldsWriter();
        CopyMessage(writer, delivery, isWhole: true);
        if (delivery.Attempt > 1)
            EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Attempt, delivery.Attempt);
        if (HistoryOf(delivery).TryGet(EnvelopeFieldNames.Errors, out var errors))
            writer.Add(EnvelopeFieldNames.Errors, errors.Span);
        return writer.ToFields();
    }

    public static string Describe(Exception exception) => $"{exception.GetType().Name}: {exception.Message}";

    /// <summary>
    /// Everything but the history, then where the entry came from and the deliveries before this one, which ended as it should. Why
    /// another group gave up stays with the message until this one does. What another program wrote under the names of the history is kept under other ones.
    /// </summary>
    /// <returns>How much of the message had to be left out; nothing where it was asked for whole, whatever its size.</returns>
    private static (int Fields, long Bytes) CopyMessage(EntryFieldsWriter writer, Delivery delivery, bool isDead = false, bool isWhole = false)
    {
        var (fields, bytes, omittedFields, omittedBytes) = (0, 0L, 0, 0L);
        foreach (var field in delivery.Entry.Fields)
        {
            if (!ComesAlong(delivery, field.Name.Span, isDead, out var name))
                continue;
            if (!isWhole && !EnvelopeFieldNames.IsHistory(name) && !(delivery.IsCopy && IsIdOfLane(field, delivery.SourceId)))
            {
                var size = SizeOf(name, field.Value);
                if (fields == StreamLimits.MaxFields || bytes + size > MaxMessageBytes)
                {
                    (omittedFields, omittedBytes) = (omittedFields + 1, omittedBytes + field.Name.Length + field.Value.Length);
                    continue;
                }

                (fields, bytes) = (fields + 1, bytes + size);
            }

            writer.Add(name, field.Value.Span);
        }

        writer.Add(EnvelopeFieldNames.SourceId, delivery.SourceId.ToString());
        var deaths = delivery.PriorDeliveries + delivery.Entry.DeliveryCount - 1;
        if (deaths > 0)
            EnvelopeCodec.WriteNumber(writer, EntryFieldNames.PriorDeliveries, deaths);
        return (omittedFields, omittedBytes);
    }

    /// <summary>
    /// Whether a copy has the field from a letter, which says the lane of its message, and not from its entry: one at a limit must not be cut for it.
    /// </summary>
    private static bool IsIdOfLane(EntryField field, EntryId source) =>
        field.Name.Span.SequenceEqual(EnvelopeFieldNames.Id) && field.Value.Span.EndsWith(Encoding.UTF8.GetBytes($"/{source}"));

    private static int SizeOf(ReadOnlySpan<byte> name, ReadOnlyMemory<byte> value) => name.Length + value.Length + FieldOverheadBytes;

    /// <summary>Whether a field is copied, and under which name; not what is written anew or is over.</summary>
    private static bool ComesAlong(Delivery delivery, ReadOnlySpan<byte> name, bool isDead, out ReadOnlySpan<byte> nameInCopy)
    {
        nameInCopy = name;
        if (!EnvelopeFieldNames.IsHistory(name))
            return true;
        if (!delivery.IsCopy)
        {
            nameInCopy = Foreign(name);
            return !IsParkedHistory(delivery, name);
        }

        if (EnvelopeFieldNames.IsDeath(name))
            return !isDead;

        // Redrives are this group's own business, too: those of a letter it reads as a stream are another group's.
        return delivery.IsAgain && (name.SequenceEqual(EnvelopeFieldNames.Redrives) || name.SequenceEqual(EnvelopeFieldNames.Redriven));
    }

    /// <summary>Of a parked key the attempts are this group's, see <see cref="ParkedHead.AddHistoryTo"/>.</summary>
    private static bool IsParkedHistory(Delivery delivery, ReadOnlySpan<byte> name) =>
        delivery.Turn?.Parked is not null && (name.SequenceEqual(EnvelopeFieldNames.Attempt) || name.SequenceEqual(EnvelopeFieldNames.Errors));

    /// <summary>The name that a field of another program is kept under.</summary>
    internal static ReadOnlySpan<byte> Foreign(ReadOnlySpan<byte> name) => (byte[])[.. EnvelopeFieldNames.ForeignPrefix, .. name];

    /// <summary>The fields where the group's own history is, if it has any.</summary>
    private static EntryFields HistoryOf(Delivery delivery) =>
        delivery.IsCopy || delivery.Turn?.Parked is not null ? delivery.Entry.Fields : EntryFields.Empty;

    internal static ReadOnlySpan<byte> AddError(Delivery delivery, string error, DateTimeOffset now) => JsonHistory.Add(
        HistoryOf(delivery), EnvelopeFieldNames.Errors, (delivery.Attempt, error, now), static (json, item) =>
        {
            json.WriteNumber("attempt"u8, item.Attempt);
            json.WriteString("time"u8, item.now.UtcDateTime);
            json.WriteString("error"u8, JsonHistory.Cut(item.error, MaxErrorBytes));
        });

    private static ReadOnlySpan<byte> Cut(string text)
    {
        var bytes = new byte[MaxErrorBytes];

        // Converts what fits, whole characters only.
        Encoding.UTF8.GetEncoder().Convert(text, bytes, flush: true, out _, out var used, out _);
        return bytes.AsSpan(0, used);
    }
}
