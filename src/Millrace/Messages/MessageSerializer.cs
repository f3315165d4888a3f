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
    private static Output? t_output;

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
        // Taken out of the slot while in use, so that a converter that serializes by itself gets another one, and half a value is never kept.
        var output = t_output is { } kept && kept.Owner == this ? kept : new(this);
        t_output = null;
        output.Buffer.ResetWrittenCount();
        output.Writer.Reset();
        JsonSerializer.Serialize(output.Writer, value, info);
        output.Writer.Flush();
        if (output.Buffer.Capacity <= MaxKeptBufferBytes)
            t_output = output;
        return output.Buffer.WrittenSpan;
    }

    /// <summary>Reads a value.</summary>
    /// <exception cref="JsonException">The bytes are not JSON of this shape.</exception>
    public static object? Deserialize(ReadOnlySpan<byte> data, JsonTypeInfo info) => JsonSerializer.Deserialize(data, info);

    /// <summary>A buffer and its writer, which has the options of its owner.</summary>
    private sealed class Output
    {
        public Output(MessageSerializer owner)
        {
            Owner = owner;
            Writer = new(Buffer, owner._writerOptions);
        }

        public MessageSerializer Owner { get; }

        public ArrayBufferWriter<byte> Buffer { get; } = new(512);

        public Utf8JsonWriter Writer { get; }
    }

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "Only called where the application has reflection enabled.")]
    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Only called where the application has reflection enabled.")]
    private static void AddReflection(JsonSerializerOptions options) =>
        options.TypeInfoResolverChain.Add(new DefaultJsonTypeInfoResolver());
}
