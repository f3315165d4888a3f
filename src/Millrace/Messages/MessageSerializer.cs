using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Millrace.Messages;

/// <summary>
/// JSON in and out, by System.Text.Json: camel case, with the user's contexts first and reflection after them where the application has not
/// switched it off.
/// </summary>
internal sealed class MessageSerializer
{
    // Buffers above this size are not kept, so that one large message does not hold its memory for ever.
    private const int MaxKeptBufferBytes = 1024 * 1024;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? t_buffer;

    private readonly JsonSerializerOptions _options;
    private readonly JsonWriterOptions _writerOptions;

    public MessageSerializer(IEnumerable<JsonSerializerContext> contexts, IEnumerable<Action<JsonSerializerOptions>> configure)
    {
        // Nothing of the output is pasted into HTML, so text stays readable in redis-cli and small on the wire.
        _options = new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        foreach (var context in contexts)
            _options.TypeInfoResolverChain.Add(context);
        foreach (var action in configure)
            action(_options);
        if (JsonSerializer.IsReflectionEnabledByDefault)
            AddReflection(_options);
        _options.MakeReadOnly();
        _writerOptions = new() { Encoder = _options.Encoder, Indented = _options.WriteIndented, SkipValidation = true };
    }

    /// <summary>The metadata of a type.</summary>
    /// <exception cref="NotSupportedException">No context knows the type and reflection is off.</exception>
    public JsonTypeInfo GetTypeInfo(Type type)
    {
        if (_options.TryGetTypeInfo(type, out var info))
            return info;
        throw new NotSupportedException(
            $"There is no JSON metadata for {type}: add [JsonSerializable(typeof({type.Name}))] " +
            "to a JsonSerializerContext and pass it to UseJson.");
    }

    /// <summary>Writes a value and lends its bytes, which are valid until the next call on this thread.</summary>
    public ReadOnlySpan<byte> Serialize(object value, JsonTypeInfo info)
    {
        // Taken out of the slot while in use, so that a converter that serializes by itself gets another buffer.
        var buffer = t_buffer ?? new ArrayBufferWriter<byte>(512);
        t_buffer = null;
        buffer.ResetWrittenCount();
        using (var writer = new Utf8JsonWriter(buffer, _writerOptions))
            JsonSerializer.Serialize(writer, value, info);
        if (buffer.Capacity <= MaxKeptBufferBytes)
            t_buffer = buffer;
        return buffer.WrittenSpan;
    }

    /// <summary>Reads a value.</summary>
    /// <exception cref="JsonException">The bytes are not JSON of this shape.</exception>
    public static object? Deserialize(ReadOnlySpan<byte> data, JsonTypeInfo info) => JsonSerializer.Deserialize(data, info);

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "Only called where the application has reflection enabled.")]
    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Only called where the application has reflection enabled.")]
    private static void AddReflection(JsonSerializerOptions options) =>
        options.TypeInfoResolverChain.Add(new DefaultJsonTypeInfoResolver());
}
