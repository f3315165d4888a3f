using System.Globalization;
using System.Reflection;
using System.Text.Json.Serialization.Metadata;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>
/// Reads the key of an entry: a property of its message, as the version its handler takes, or the envelope's <c>partitionkey</c>. What has
/// none has no order.
/// </summary>
internal sealed class OrderKeys
{
    // By the message type of the handler; null: by the envelope.
    private readonly Dictionary<Type, JsonPropertyInfo>? _properties;
    private readonly HandlerRoutes _routes;

    private OrderKeys(HandlerRoutes routes, Dictionary<Type, JsonPropertyInfo>? properties) => (_routes, _properties) = (routes, properties);

    /// <summary>Finds the property of every message type the group handles, and adds to <paramref name="errors"/> which have none.</summary>
    public static OrderKeys? Build(
        string? orderedBy, MessageRegistry registry, HandlerRoutes routes, IReadOnlyList<ConsumerRegistration> handlers, List<string> errors)
    {
        if (orderedBy is null)
            return null;
        if (orderedBy == ConsumerOptions.PartitionKey)
            return new(routes, null);

        var properties = new Dictionary<Type, JsonPropertyInfo>();
        foreach (var handler in handlers)
        {
            if (registry.Find(handler.MessageType) is not { } type)
                continue; // The routes have said so.
            if (Find(type.Json, orderedBy) is { } property)
                properties[handler.MessageType] = property;
            else
                errors.Add($"Consumer of '{handler.Stream}' in group '{handler.Group}': it is ordered by '{orderedBy}', " +
                    $"and {handler.MessageType} has no such property that can be read.");
        }

        return new(routes, properties);
    }

    /// <summary>The key, or <see langword="null"/>: the entry has none, or cannot be read.</summary>
    public string? Read(EntryFields fields)
    {
        if (_properties is null)
            return fields.GetText(EnvelopeFieldNames.PartitionKey);

        var envelope = EnvelopeCodec.Decode(fields);
        if (!_routes.TryFind(envelope, out var type, out var route, out _) ||
            !DeliveryPipeline.TryReadMessage(envelope, type!, route.Version, out var message, out _))
            return null;
        try
        {
            return Text(_properties[route.Handler.MessageType].Get!(message));
        }
        catch (Exception)
        {
            // The application's code, which throws for this message every time: it has no key, as if it could not be decoded.
            return null;
        }
    }

    /// <summary>Under the name it has in the class, or in JSON; case decides only where several would do.</summary>
    private static JsonPropertyInfo? Find(JsonTypeInfo type, string name)
    {
        var candidates = type.Properties
            .Where(property => property.Get is not null && (Is(property.Name, name) || Is((property.AttributeProvider as MemberInfo)?.Name, name)))
            .ToList();
        return candidates.Find(property => property.Name == name) ?? candidates.FirstOrDefault();
    }

    private static bool Is(string? name, string wanted) => string.Equals(name, wanted, StringComparison.OrdinalIgnoreCase);

    private static string? Text(object? value) => value switch
    {
        null => null,
        string text => text,
        IFormattable formattable => formattable.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString(),
    };
}
