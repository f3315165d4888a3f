namespace Millrace;

/// <summary>
/// Declares the name under which a message type travels. The name is part of the wire format: it stays when the class is renamed, and
/// programs in other languages write the same one.
/// </summary>
/// <param name="type">The message's name, for example <c>order.created</c>.</param>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct, Inherited = false)]
public sealed class MessageAttribute(string type) : Attribute
{
    /// <summary>The message's name on the wire.</summary>
    public string Type => type;

    /// <summary>The version of the message's shape, 1 or more. Default 1. An entry without a version is version 1.</summary>
    public int Version { get; set; } = 1;
}
