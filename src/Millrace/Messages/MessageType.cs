using System.Text;
using System.Text.Json.Serialization.Metadata;

namespace Millrace.Messages;

/// <summary>One version of a message: its name on the wire, its class, and the step to the next version.</summary>
internal sealed class MessageType(string name, int version, Type clrType, JsonTypeInfo json)
{
    public string Name => name;

    public ReadOnlyMemory<byte> NameUtf8 { get; } = Encoding.UTF8.GetBytes(name);

    public int Version => version;

    public Type ClrType => clrType;

    public JsonTypeInfo Json => json;

    /// <summary>The next version and how to get there, once the registry has linked them.</summary>
    public (MessageType Next, Func<object, object> Upcast)? Step { get; set; }

    /// <summary>Brings a message of this version up to another one, or as far as the steps lead.</summary>
    public object Upcast(object message, int version)
    {
        for (var type = this; type.Version < version && type.Step is { } step; type = step.Next)
            message = step.Upcast(message);
        return message;
    }

    public override string ToString() => $"{name} version {version}";
}
