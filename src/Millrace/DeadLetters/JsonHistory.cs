using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Millrace.Streams;

namespace Millrace;

/// <summary>A field of an entry that is a JSON array of the last things that happened to its message.</summary>
internal static class JsonHistory
{
    private const int MaxItems = 5;

    /// <summary>How history is written.</summary>
    public static JsonWriterOptions Format { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The array, or null when there is none; to be disposed.</summary>
    public static JsonDocument? Read(EntryFields fields, ReadOnlySpan<byte> name)
    {
        if (!fields.TryGet(name, out var text))
            return null;
        try
        {
            var document = JsonDocument.Parse(text);
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

    /// <summary>As much of a text, in whole characters, as takes so many bytes at most when it is written: an escaped one takes up to six.</summary>
    public static ReadOnlySpan<byte> Cut(string text, int maxBytes)
    {
        // A character takes a byte at least.
        var bytes = Encoding.UTF8.GetBytes(text, 0, Math.Min(text.Length, maxBytes));
        Format.Encoder!.EncodeUtf8(bytes, new byte[maxBytes], out var fits, out _);
        return bytes.AsSpan(0, fits);
    }

    /// <summary>The array with one more item at its end, and the oldest ones dropped.</summary>
    public static ReadOnlySpan<byte> Add<T>(EntryFields fields, ReadOnlySpan<byte> name, T item, Action<Utf8JsonWriter, T> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Format))
        {
            json.WriteStartArray();
            using var earlier = Read(fields, name);
            foreach (var kept in earlier?.RootElement.EnumerateArray().TakeLast(MaxItems - 1) ?? [])
                json.WriteRawValue(JsonMarshal.GetRawUtf8Value(kept), skipInputValidation: true); // As it is: what others wrote may be no text.
            json.WriteStartObject();
            write(json, item);
            json.WriteEndObject();
            json.WriteEndArray();
        }

        return buffer.WrittenSpan;
    }
}
