using System.Diagnostics.CodeAnalysis;
using Millrace.Hosting;
using Millrace.Messages;

namespace Millrace.Consuming;

/// <summary>Which handler of a group takes which message type, in which version. Decided once, at start.</summary>
internal sealed class HandlerRoutes
{
    private readonly MessageRegistry _registry;
    private readonly Dictionary<MessageType, HandlerRoute> _routes = [];
    private readonly Dictionary<string, int> _newestHandled = new(StringComparer.Ordinal);

    private readonly bool _areAll;

    private HandlerRoutes(MessageRegistry registry, bool areAll) => (_registry, _areAll) = (registry, areAll);

    /// <summary>Routes every registered type and adds to <paramref name="errors"/> what cannot be routed.</summary>
    /// <param name="registry">The types.</param>
    /// <param name="handlers">The handlers of the group.</param>
    /// <param name="areAll">Whether no other group has handlers for the stream, see <see cref="ConsumerOptions.OwnsStream"/>.</param>
    /// <param name="errors">What cannot be routed.</param>
    public static HandlerRoutes Build(
        MessageRegistry registry, IReadOnlyList<ConsumerRegistration> handlers, bool areAll, List<string> errors)
    {
        var routes = new HandlerRoutes(registry, areAll);
        foreach (var handler in handlers)
        {
            var title = $"Consumer of '{handler.Stream}' in group '{handler.Group}'";
            if (registry.Find(handler.MessageType) is not { } type)
                errors.Add($"{title}: {handler.MessageType} is not a registered message; put [Message] on it or call AddMessage.");
            else if (!routes._routes.TryAdd(type, new(handler, type.Version)))
                errors.Add($"{title}: there are two handlers of {type}.");
            else
                routes._newestHandled[type.Name] = Math.Max(type.Version, routes._newestHandled.GetValueOrDefault(type.Name));
        }

        foreach (var type in registry.Types)
            routes.RouteOlder(type, handlers[0], errors);
        return routes;
    }

    /// <summary>The handler of an entry, or what is to become of it without one.</summary>
    public bool TryFind(
        in IncomingEnvelope envelope,
        [NotNullWhen(true)] out MessageType? type,
        out HandlerRoute route,
        [NotNullWhen(false)] out SettleAction? otherwise)
    {
        type = null;
        route = default;
        otherwise = null;
        var nameIsKnown = false;
        if (envelope.Type is { } name && _registry.TryFind(name.Span, envelope.Version, out type, out nameIsKnown))
        {
            if (_routes.TryGetValue(type, out route))
                return true;

            // Another group's business, unless a handler is there and merely older than the message: skipping that would lose it.
            otherwise = _newestHandled.TryGetValue(type.Name, out var newest) && newest < type.Version
                ? new SettleAction.DeadLetter(DeadLetterReasons.UnknownVersion)
                : _areAll
                ? new SettleAction.DeadLetter(DeadLetterReasons.UnknownType)
                : SettleAction.Ack.Instance;
            return false;
        }

        otherwise = new SettleAction.DeadLetter(nameIsKnown ? DeadLetterReasons.UnknownVersion : DeadLetterReasons.UnknownType);
        return false;
    }

    /// <summary>A version without a handler of its own goes up, step by step, to the next one that has one.</summary>
    private void RouteOlder(MessageType type, ConsumerRegistration handler, List<string> errors)
    {
        if (_routes.ContainsKey(type) || type.Version > _newestHandled.GetValueOrDefault(type.Name))
            return;

        var at = type;
        while (at.Step is { } step)
        {
            at = step.Next;
            if (_routes.TryGetValue(at, out var route) && route.Version == at.Version)
            {
                _routes.Add(type, route);
                return;
            }
        }

        errors.Add($"Consumer of '{handler.Stream}' in group '{handler.Group}': there is no upcaster from {at} towards " +
            $"version {_newestHandled[type.Name]}, which its handler takes.");
    }
}

/// <summary>A handler and the version it is written for.</summary>
/// <param name="Handler">The handler.</param>
/// <param name="Version">The version to bring a message to.</param>
internal readonly record struct HandlerRoute(ConsumerRegistration Handler, int Version);
