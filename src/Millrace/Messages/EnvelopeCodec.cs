using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Millrace.Streams;

namespace Millrace.Messages;

/// <summary>
/// Envelope to entry fields and back, as UTF-8 without strings in between. The one place that knows the order of the fields.
/// </summary>
internal sealed class EnvelopeCodec(MessageRegistry registry, MessageSerializer serializer, string source)
{
    // Below the limits of an entry, so that what fails has room for its attempts, errors and cause when it moves: with more it could never leave.
    private const int MaxFields = StreamLimits.MaxFields - StreamLimits.CopyFields;
    private const int MaxBytes = StreamLimits.MaxEntryBytes - StreamLimits.CopyBytes;

    private readonly byte[] _source = Encoding.UTF8.GetBytes(source);

    [ThreadStatic]
    private static EntryFieldsWriter? t_writer;

    public MessageRegistry Registry => registry;

    public EntryFields Encode(object message, in OutgoingEnvelope envelope)
    {
        var type = registry.Describe(message.GetType());
        var writer = t_writer ?? new EntryFieldsWriter();
        t_writer = null; // In use; a failure below must not leave half an entry in the kept one.

        WriteId(writer, envelope);
        writer.Add(EnvelopeFieldNames.Source, _source);
        writer.Add(EnvelopeFieldNames.Type, type.NameUtf8.Span);
        if (envelope.Time is { } time)
            WriteTime(writer, EnvelopeFieldNames.Time, time);
        AddIfSet(writer, EnvelopeFieldNames.Subject, envelope.Options?.Subject);
        writer.Add(EnvelopeFieldNames.Data, serializer.Serialize(message, type.Json));
        AddIfSet(writer, EnvelopeFieldNames.CorrelationId, envelope.Options?.CorrelationId ?? envelope.CorrelationId);
        AddIfSet(writer, EnvelopeFieldNames.CausationId, envelope.Options?.CausationId ?? envelope.CausationId);
        AddIfSet(writer, EnvelopeFieldNames.TraceParent, envelope.TraceParent);
        AddIfSet(writer, EnvelopeFieldNames.PartitionKey, envelope.Options?.PartitionKey);
        if (type.Version != 1)
            WriteNumber(writer, EnvelopeFieldNames.SchemaVersion, type.Version);
        if (envelope.Options?.Headers is { } headers)
            WriteHeaders(writer, headers);

        var fields = writer.ToFields();
        t_writer = writer;
        if (fields.Count > MaxFields || fields.Packed.Length > MaxBytes)
            throw new ArgumentException(
                $"The message '{type.Name}' has {fields.Count} fields and {fields.Packed.Length} bytes; published are at most {MaxFields} and " +
                $"{MaxBytes}. Keep large data elsewhere and publish where they are.",
                nameof(message));
        return fields;
    }

    /// <summary>
    /// The fields of an entry for a place where it gets another ID: what its own ID said of the message, they say. One of another program that leaves no
    /// room for that goes as it is.
    /// </summary>
    /// <param name="entry">The entry.</param>
    /// <param name="lane">The stream of the priority lane it is in, if it is.</param>
    public static EntryFields Keep(StreamEntry entry, string? lane)
    {
        var headers = new MessageHeaders(entry.Id, entry.Fields, isOriginal: true, lane);
        var hasId = entry.Fields.TryGet(EnvelopeFieldNames.Id, out _);
        var hasTime = entry.Fields.TryGet(EnvelopeFieldNames.Time, out _);
        if ((hasId && hasTime) || entry.Fields.Count > MaxFields || entry.Fields.Packed.Length > MaxBytes)
            return entry.Fields;

        var writer = new EntryFieldsWriter();
        foreach (var field in entry.Fields)
            writer.Add(field.Name.Span, field.Value.Span);
        if (!hasId)
            writer.Add(EnvelopeFieldNames.Id, headers.MessageId);
        if (!hasTime)
            WriteTime(writer, EnvelopeFieldNames.Time, headers.Time);
        return writer.ToFields();
    }

    /// <summary>
    /// Picks out, in one pass, what every delivery needs. Never fails: what is missing or unreadable shows in the result.
    /// </summary>
    public static IncomingEnvelope Decode(EntryFields fields)
    {
        var envelope = new IncomingEnvelope { Version = 1, Attempt = 1 };
        foreach (var field in fields)
        {
            var name = field.Name.Span;
            if (name.SequenceEqual(EnvelopeFieldNames.Data))
                envelope.Data ??= field.Value;
            else if (name.SequenceEqual(EnvelopeFieldNames.Type))
                envelope.Type ??= field.Value;
            else if (name.SequenceEqual(EnvelopeFieldNames.SchemaVersion))
                envelope.Version = (int)ReadNumber(field.Value.Span, -1);
            else if (name.SequenceEqual(EnvelopeFieldNames.Attempt))
                envelope.Attempt = (int)Math.Max(1, ReadNumber(field.Value.Span, 1));
            else if (name.SequenceEqual(EntryFieldNames.PriorDeliveries))
                envelope.PriorDeliveries = Math.Max(0, ReadNumber(field.Value.Span, 0));
            else if (name.SequenceEqual(EnvelopeFieldNames.DataContentType))
                envelope.IsJson = IsJsonMediaType(field.Value.Span);
        }

        return envelope;
    }

    /// <summary>RFC 3339 to the millisecond, in UTC: <c>2026-11-21T17:31:00.123Z</c>.</summary>
    public static void WriteTime(EntryFieldsWriter writer, ReadOnlySpan<byte> name, DateTimeOffset time)
    {
        // The round trip format is ten times as fast as a custom one. It goes on to seven digits of the second.
        const int UpToMilliseconds = 23;
        Span<byte> text = stackalloc byte[28];
        time.UtcDateTime.TryFormat(text, out _, "O", CultureInfo.InvariantCulture);
        text[UpToMilliseconds] = (byte)'Z';
        writer.Add(name, text[..(UpToMilliseconds + 1)]);
    }

    public static void WriteNumber(EntryFieldsWriter writer, ReadOnlySpan<byte> name, long number)
    {
        Span<byte> text = stackalloc byte[20];
        number.TryFormat(text, out var length, default, CultureInfo.InvariantCulture);
        writer.Add(name, text[..length]);
    }

    private static void WriteId(EntryFieldsWriter writer, in OutgoingEnvelope envelope)
    {
        if (envelope.Options?.MessageId is { } id)
        {
            writer.Add(EnvelopeFieldNames.Id, id);
            return;
        }

        Span<byte> text = stackalloc byte[36];
        envelope.MessageId.TryFormat(text, out var length);
        writer.Add(EnvelopeFieldNames.Id, text[..length]);
    }

    private static void WriteHeaders(EntryFieldsWriter writer, IReadOnlyDictionary<string, string> headers)
    {
        foreach (var (name, value) in headers)
        {
            EnvelopeFieldNames.CheckHeader(name);
            writer.Add(name, value);
        }
    }

    private static void AddIfSet(EntryFieldsWriter writer, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null)
            writer.Add(name, value);
    }

    private static long ReadNumber(ReadOnlySpan<byte> text, int otherwise) =>
        Utf8Parser.TryParse(text, out int number, out var used) && used == text.Length ? number : otherwise;

    private static bool IsJsonMediaType(ReadOnlySpan<byte> mediaType)
    {
        var end = mediaType.IndexOf((byte)';');
        var type = (end < 0 ? mediaType : mediaType[..end]).Trim((byte)' ');
        return type.Length >= 5 && type[^5] is (byte)'/' or (byte)'+' && Ascii.EqualsIgnoreCase(type[^4..], "json"u8);
    }
}

/// <summary>What goes around a message on its way out. What <see cref="Options"/> say wins.</summary>
internal readonly struct OutgoingEnvelope
{
    public required Guid MessageId { get; init; }

    /// <summary>When the message was made. Default: the ID of its entry says it.</summary>
    public DateTimeOffset? Time { get; init; }

    public PublishOptions? Options { get; init; }

    public string? CorrelationId { get; init; }

    public string? CausationId { get; init; }

    public string? TraceParent { get; init; }
}

/// <summary>What every delivery needs of an entry.</summary>
internal struct IncomingEnvelope
{
    public IncomingEnvelope() => IsJson = true;

    public ReadOnlyMemory<byte>? Type { get; set; }

    public ReadOnlyMemory<byte>? Data { get; set; }

    /// <summary>The version; -1 when the field is not a number.</summary>
    public int Version { get; set; }

    public int Attempt { get; set; }

    public long PriorDeliveries { get; set; }

    public bool IsJson { get; set; }
}
