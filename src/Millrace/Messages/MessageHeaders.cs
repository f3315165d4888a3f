using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// What an entry says about its message. Tolerant: an entry of another program with nothing but a type and data has headers too. Nothing is
/// decoded before it is asked for; each property looks through the fields and allocates its text anew.
/// </summary>
public sealed class MessageHeaders
{
    private readonly EntryId _entryId;
    private readonly bool _isOriginal;
    private readonly string? _lane;
    private string? _messageId;

    /// <summary>Reads the headers of an entry.</summary>
    /// <param name="entryId">The entry's ID.</param>
    /// <param name="fields">The entry's fields.</param>
    public MessageHeaders(EntryId entryId, EntryFields fields)
    {
        _entryId = entryId;
        Fields = fields;
    }

    /// <param name="entryId">The entry's ID.</param>
    /// <param name="fields">The entry's fields.</param>
    /// <param name="isOriginal">Whether it is known to be no copy: what it says of where it came from is somebody else's.</param>
    /// <param name="lane">The stream of the priority lane it came by, if it did: another lane may have an entry of the same ID.</param>
    internal MessageHeaders(EntryId entryId, EntryFields fields, bool isOriginal, string? lane)
        : this(entryId, fields) => (_isOriginal, _lane) = (isOriginal, lane);

    /// <summary>All fields of the entry, in order.</summary>
    public EntryFields Fields { get; }

    /// <summary>The ID the entry has in the stream it was published to, also on a copy made by a retry.</summary>
    public EntryId SourceId =>
        !_isOriginal && Fields.TryGet(EnvelopeFieldNames.SourceId, out var text) && EntryId.TryParse(text.Span, out var id) ? id : _entryId;

    /// <summary>
    /// The message ID; the ID of the entry when it has none. To the handlers of a priority lane such an entry is that of the lane's stream, as in
    /// <c>{orders}:lane:express/1700000000000-0</c>.
    /// </summary>
    public string MessageId =>
        _messageId ??= Fields.GetText(EnvelopeFieldNames.Id) ?? (_lane is null ? SourceId.ToString() : $"{_lane}/{SourceId}");

    /// <summary>The message's declared name; empty when the entry has none.</summary>
    public string Type => Fields.GetText(EnvelopeFieldNames.Type) ?? "";

    /// <summary>The version of the message's shape; 1 when the entry has none.</summary>
    public int Version => Number(EnvelopeFieldNames.SchemaVersion, 1);

    /// <summary>The application that published the message, or <see langword="null"/>.</summary>
    public string? Source => Fields.GetText(EnvelopeFieldNames.Source);

    /// <summary>When the message was made; the moment in the <see cref="SourceId"/>, by the clock of the store, when it does not say.</summary>
    public DateTimeOffset Time
    {
        get
        {
            if (Fields.TryGet(EnvelopeFieldNames.Time, out var text) && DateTimeOffset.TryParse(
                    Encoding.UTF8.GetString(text.Span), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time))
                return time;
            var milliseconds = Math.Min(SourceId.Milliseconds, (ulong)DateTimeOffset.MaxValue.ToUnixTimeMilliseconds());
            return DateTimeOffset.FromUnixTimeMilliseconds((long)milliseconds);
        }
    }

    /// <summary>What the message is about, or <see langword="null"/>.</summary>
    public string? Subject => Fields.GetText(EnvelopeFieldNames.Subject);

    /// <summary>The conversation the message belongs to; the message ID when it starts one.</summary>
    public string CorrelationId => Fields.GetText(EnvelopeFieldNames.CorrelationId) ?? MessageId;

    /// <summary>The ID of the message that caused this one, or <see langword="null"/>.</summary>
    public string? CausationId => Fields.GetText(EnvelopeFieldNames.CausationId);

    /// <summary>The key whose messages belong together in order, or <see langword="null"/>.</summary>
    public string? PartitionKey => Fields.GetText(EnvelopeFieldNames.PartitionKey);

    /// <summary>The W3C trace context of the publisher, or <see langword="null"/>.</summary>
    public string? TraceParent => Fields.GetText(EnvelopeFieldNames.TraceParent);

    /// <summary>
    /// Which attempt the entry says it is, 1 for the first; in a dead letter the last one made. See <see cref="MessageContext.Attempt"/>.
    /// </summary>
    public int Attempt => Number(EnvelopeFieldNames.Attempt, 1);

    /// <summary>Why the entry is a dead letter, or <see langword="null"/> when it is none.</summary>
    public string? DeadReason => Fields.GetText(EnvelopeFieldNames.DeadReason);

    /// <summary>A header of the application, or <see langword="null"/>.</summary>
    /// <param name="name">Its name.</param>
    public string? this[string name] => Fields.GetText(Encoding.UTF8.GetBytes(name));

    private int Number(ReadOnlySpan<byte> name, int missing) =>
        Fields.TryGet(name, out var text) && Utf8Parser.TryParse(text.Span, out int number, out var used) && used == text.Length
            ? number
            : missing;
}
