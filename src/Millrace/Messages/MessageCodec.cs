using Millrace.Consuming;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Messages to entry fields and back, as publishers and consumers do it, for code that works on <see cref="IStreamStore"/> itself. A singleton,
/// for any number of callers.
/// </summary>
public sealed class MessageCodec
{
    private readonly MillraceCore _core;

    internal MessageCodec(MillraceCore core) => _core = core;

    /// <summary>Makes the fields of an entry from a message.</summary>
    /// <param name="message">The message; its class decides the name it travels under.</param>
    /// <param name="options">More about the message. Delay and trim mean nothing here. Default: nothing.</param>
    /// <exception cref="InvalidOperationException">The class has no declared name.</exception>
    public EntryFields Encode(object message, PublishOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(message);
        return _core.Encode(message, options, _core.Time.GetUtcNow(), isKept: true);
    }

    /// <summary>Reads the message of an entry, in the newest version that upcasters lead to.</summary>
    /// <param name="id">The entry's ID, for the error.</param>
    /// <param name="fields">The entry's fields.</param>
    /// <exception cref="UndecodableMessageException">The type or version is not registered, or the data cannot be read as it.</exception>
    public object Decode(EntryId id, EntryFields fields)
    {
        var envelope = EnvelopeCodec.Decode(fields);
        MessageType? type = null;
        var nameIsKnown = false;
        if (envelope.Type is not { } name || !_core.Codec.Registry.TryFind(name.Span, envelope.Version, out type, out nameIsKnown))
            throw new UndecodableMessageException(id, fields, nameIsKnown ? DeadLetterReasons.UnknownVersion : DeadLetterReasons.UnknownType);
        if (!DeliveryPipeline.TryReadMessage(envelope, type, int.MaxValue, out var message, out var error))
            throw new UndecodableMessageException(id, fields, DeadLetterReasons.UndecodableData, error);
        return message;
    }

    /// <summary>Writes a value as the JSON of messages and state documents.</summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="value">The value.</param>
    /// <exception cref="NotSupportedException">No context knows the type and reflection is off.</exception>
    public ReadOnlyMemory<byte> Serialize<T>(T value)
        where T : notnull => _core.Serializer.Serialize(value, _core.Serializer.GetTypeInfo(typeof(T))).ToArray();

    /// <summary>Reads what <see cref="Serialize"/> wrote.</summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="json">The bytes.</param>
    /// <exception cref="System.Text.Json.JsonException">The bytes are not JSON of this shape.</exception>
    /// <exception cref="NotSupportedException">No context knows the type and reflection is off.</exception>
    public T? Deserialize<T>(ReadOnlySpan<byte> json) => (T?)MessageSerializer.Deserialize(json, _core.Serializer.GetTypeInfo(typeof(T)));
}
