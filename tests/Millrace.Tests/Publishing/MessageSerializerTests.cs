using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Messages;

namespace Millrace.Tests.Publishing;

/// <summary>Buffers and writers are kept for the next message of a thread; none may see what is left of another.</summary>
public sealed class MessageSerializerTests
{
    [Fact]
    public void Converter_that_fails_half_way_leaves_nothing_for_the_next_message()
    {
        var serializer = new MessageSerializer([], [options => options.Converters.Add(new Half())]);

        Assert.Throws<InvalidOperationException>(() => Write(serializer, new Note("half")));
        Assert.Equal("""{"text":"whole"}""", Write(serializer, new Other("whole")));
    }

    [Fact]
    public void Serializers_of_two_hosts_keep_their_own_options_on_one_thread()
    {
        var plain = new MessageSerializer([], []);
        var indented = new MessageSerializer([], [static options => options.WriteIndented = true]);

        Assert.Equal("""{"text":"a"}""", Write(plain, new Other("a")));
        Assert.Contains('\n', Write(indented, new Other("b")));
        Assert.Equal("""{"text":"c"}""", Write(plain, new Other("c")));
    }

    private static string Write(MessageSerializer serializer, object message) =>
        Encoding.UTF8.GetString(serializer.Serialize(message, serializer.GetTypeInfo(message.GetType())));

    private sealed record Note(string Text);

    private sealed record Other(string Text);

    private sealed class Half : JsonConverter<Note>
    {
        public override Note Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, Note value, JsonSerializerOptions options)
        {
            writer.WriteStartObject();
            writer.WriteString("text", value.Text);
            writer.Flush();
            throw new InvalidOperationException("Half of it is written.");
        }
    }
}
