using System.Collections.Frozen;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// The fields of an entry that carry a message. The names are CloudEvents attributes and extensions, so that any program can read and
/// write them; only what is set is written, and a reader needs nothing but <see cref="Type"/> and <see cref="Data"/>.
/// </summary>
public static class EnvelopeFieldNames
{
    private static readonly FrozenSet<string> Reserved = FrozenSet.Create(
        StringComparer.Ordinal,
        "id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data", "specversion", "correlationid", "causationid",
        "traceparent", "tracestate", "partitionkey", "schemaversion", "attempt", "errors", "deadreason", "deaderror", "deadgroup",
        "deadtime", "deadcause", "deadexception", "deadconsumer", "deadomitted", "redrives", "redriven", "sourceid", "priordeliveries");

    /// <summary>The message ID. Missing: the entry's ID in the stream it was published to; see <see cref="MessageHeaders.MessageId"/>.</summary>
    public static ReadOnlySpan<byte> Id => "id"u8;

    /// <summary>The application that published the message.</summary>
    public static ReadOnlySpan<byte> Source => "source"u8;

    /// <summary>The message's declared name.</summary>
    public static ReadOnlySpan<byte> Type => "type"u8;

    /// <summary>
    /// When the message was made, RFC 3339 in UTC. Missing, as where it was published at once: the moment in the ID the entry has in the stream it was
    /// published to, by the clock of the store.
    /// </summary>
    public static ReadOnlySpan<byte> Time => "time"u8;

    /// <summary>What the message is about, within its source.</summary>
    public static ReadOnlySpan<byte> Subject => "subject"u8;

    /// <summary>The media type of <see cref="Data"/>. Missing: <c>application/json</c>.</summary>
    public static ReadOnlySpan<byte> DataContentType => "datacontenttype"u8;

    /// <summary>The message itself.</summary>
    public static ReadOnlySpan<byte> Data => "data"u8;

    /// <summary>The conversation the message belongs to. Missing: the message's own ID, which starts one.</summary>
    public static ReadOnlySpan<byte> CorrelationId => "correlationid"u8;

    /// <summary>The ID of the message that caused this one.</summary>
    public static ReadOnlySpan<byte> CausationId => "causationid"u8;

    /// <summary>The W3C trace context of the publisher.</summary>
    public static ReadOnlySpan<byte> TraceParent => "traceparent"u8;

    /// <summary>The key whose messages belong together in order.</summary>
    public static ReadOnlySpan<byte> PartitionKey => "partitionkey"u8;

    /// <summary>The version of the message's shape, a decimal number. Missing: 1.</summary>
    public static ReadOnlySpan<byte> SchemaVersion => "schemaversion"u8;

    /// <summary>
    /// Which attempt this delivery is, a decimal number; in a dead letter the last one made. Missing: 1. It counts on the private stream of
    /// the group only: a group that reads dead letters begins anew.
    /// </summary>
    public static ReadOnlySpan<byte> Attempt => "attempt"u8;

    /// <summary>
    /// The errors of earlier attempts, oldest first: a JSON array of <c>{"attempt":1,"time":"…","error":"…"}</c>. The last five, each of at
    /// most 1 KiB.
    /// </summary>
    public static ReadOnlySpan<byte> Errors => "errors"u8;

    /// <summary>Why a dead letter is one: see <see cref="DeadLetterReasons"/>, or the reason a handler gave.</summary>
    public static ReadOnlySpan<byte> DeadReason => "deadreason"u8;

    /// <summary>The last error of a dead letter, at most 1 KiB of text.</summary>
    public static ReadOnlySpan<byte> DeadError => "deaderror"u8;

    /// <summary>The group that gave up.</summary>
    public static ReadOnlySpan<byte> DeadGroup => "deadgroup"u8;

    /// <summary>When the group gave up, RFC 3339 in UTC.</summary>
    public static ReadOnlySpan<byte> DeadTime => "deadtime"u8;

    /// <summary>The fingerprint of what a dead letter died of, 16 hexadecimal digits; see <see cref="DeadLetter.Cause"/>.</summary>
    public static ReadOnlySpan<byte> DeadCause => "deadcause"u8;

    /// <summary>
    /// The exception a dead letter died of and those inside it, outermost first: a JSON array of
    /// <c>{"type":"…","message":"…","stack":"…"}</c>. At most five, below 12 KiB together.
    /// </summary>
    public static ReadOnlySpan<byte> DeadException => "deadexception"u8;

    /// <summary>The process that gave up, by its name in the group.</summary>
    public static ReadOnlySpan<byte> DeadConsumer => "deadconsumer"u8;

    /// <summary>How often the message was redriven from the dead letters of its group, a decimal number. Missing: never.</summary>
    public static ReadOnlySpan<byte> Redrives => "redrives"u8;

    /// <summary>
    /// The redrives, oldest first: a JSON array of <c>{"by":"…","time":"…","edited":true}</c>. The last five, of each name at most 1 KiB.
    /// </summary>
    public static ReadOnlySpan<byte> Redriven => "redriven"u8;

    /// <summary>The entry's ID in the stream it was published to, on every copy the framework makes.</summary>
    public static ReadOnlySpan<byte> SourceId => EntryFieldNames.SourceId;

    /// <summary>
    /// What a dead letter had to leave out of an entry that is larger than any store of ours takes, and where that is, as
    /// <c>3 fields, 20000000 bytes of entry 1700000000000-0 of orders</c>. Missing: nothing.
    /// </summary>
    public static ReadOnlySpan<byte> DeadOmitted => "deadomitted"u8;

    /// <summary>
    /// Put before the name of a field that another program wrote under one of the names that copies need (<see cref="Attempt"/>, <see cref="Errors"/>,
    /// <see cref="SourceId"/>, <c>priordeliveries</c>, <see cref="Redrives"/>, <see cref="Redriven"/> and those of dead letters), as in <c>foreignattempt</c>.
    /// </summary>
    public static ReadOnlySpan<byte> ForeignPrefix => "foreign"u8;

    /// <summary>Whether a field says how it went with its message, which is only true of an entry the framework wrote.</summary>
    internal static bool IsHistory(ReadOnlySpan<byte> name) =>
        name.SequenceEqual(Attempt) || name.SequenceEqual(Errors) || name.SequenceEqual(SourceId) || name.SequenceEqual(EntryFieldNames.PriorDeliveries) ||
        name.SequenceEqual(Redrives) || name.SequenceEqual(Redriven) || IsDeath(name);

    /// <summary>Whether a field says why an entry is a dead letter.</summary>
    internal static bool IsDeath(ReadOnlySpan<byte> name) =>
        name.SequenceEqual(DeadReason) || name.SequenceEqual(DeadError) || name.SequenceEqual(DeadGroup) || name.SequenceEqual(DeadTime) ||
        name.SequenceEqual(DeadCause) || name.SequenceEqual(DeadException) || name.SequenceEqual(DeadConsumer) ||
        name.SequenceEqual(DeadOmitted);

    /// <summary>
    /// Checks the name of a header of the application: <c>[a-z0-9]</c>, at most 64 characters, and not one of the names above.
    /// </summary>
    internal static void CheckHeader(string name)
    {
        if (name.Length is < 1 or > 64 || name.AsSpan().ContainsAnyExcept("abcdefghijklmnopqrstuvwxyz0123456789"))
            throw new ArgumentException($"The header name '{name}' is not allowed: " +
                "use 1 to 64 of the characters a-z and 0-9, as CloudEvents does.");
        if (Reserved.Contains(name))
            throw new ArgumentException($"The header name '{name}' belongs to the envelope; choose another one.");
    }
}
