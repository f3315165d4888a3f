using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Text;

namespace Millrace.Messages;

/// <summary>
/// The message types an application knows, by declared name and version for readers and by class for publishers. Names come from
/// declarations only: no CLR name ever travels, and no type is loaded by a name from the wire.
/// </summary>
internal sealed class MessageRegistry
{
    // Longer names are unknown by definition; keeps the transcoding below on the stack.
    private const int MaxNameLength = 200;

    // Up to so many types are compared with a name before it is transcoded and looked up, which takes as long.
    private const int MaxCompared = 8;

    private readonly MessageSerializer _serializer;
    private readonly Dictionary<string, List<MessageType>> _byName = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<MessageType>>.AlternateLookup<ReadOnlySpan<char>> _byNameSpan;
    private readonly ConcurrentDictionary<Type, MessageType> _byClass = new();
    private MessageType[] _compared = [];

    private MessageRegistry(MessageSerializer serializer)
    {
        _serializer = serializer;
        _byNameSpan = _byName.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>Builds the registry and adds what is wrong to <paramref name="errors"/>, everything at once.</summary>
    public static MessageRegistry Build(
        IEnumerable<MessageDeclaration> declarations,
        IEnumerable<UpcasterDeclaration> upcasters,
        MessageSerializer serializer,
        List<string> errors)
    {
        var registry = new MessageRegistry(serializer);
        foreach (var declaration in declarations)
            registry.Add(declaration, errors);
        foreach (var upcaster in upcasters)
            registry.Link(upcaster, errors);
        registry._compared = [.. registry.Types.Take(MaxCompared)];
        return registry;
    }

    /// <summary>Every registered type.</summary>
    public IEnumerable<MessageType> Types => _byName.Values.SelectMany(versions => versions);

    /// <summary>The type a reader finds under a name and version.</summary>
    /// <param name="name">The name as UTF-8.</param>
    /// <param name="version">The version.</param>
    /// <param name="type">The type.</param>
    /// <param name="nameIsKnown">Whether the name exists in some version.</param>
    public bool TryFind(ReadOnlySpan<byte> name, int version, [NotNullWhen(true)] out MessageType? type, out bool nameIsKnown)
    {
        foreach (var candidate in _compared)
        {
            if (candidate.Version == version && candidate.NameUtf8.Span.SequenceEqual(name))
            {
                (type, nameIsKnown) = (candidate, true);
                return true;
            }
        }

        return TryFindSlow(name, version, out type, out nameIsKnown);
    }

    private bool TryFindSlow(ReadOnlySpan<byte> name, int version, [NotNullWhen(true)] out MessageType? type, out bool nameIsKnown)
    {
        type = null;
        nameIsKnown = false;
        Span<char> text = stackalloc char[MaxNameLength];
        if (!Encoding.UTF8.TryGetChars(name, text, out var length) || !_byNameSpan.TryGetValue(text[..length], out var versions))
            return false;

        nameIsKnown = true;
        foreach (var candidate in versions)
        {
            if (candidate.Version == version)
            {
                type = candidate;
                return true;
            }
        }

        return false;
    }

    /// <summary>The type under which instances of a class are published. A class that says it itself need not be registered.</summary>
    /// <exception cref="InvalidOperationException">The class has no declared name, or one that belongs to another class.</exception>
    public MessageType Describe(Type type)
    {
        if (_byClass.TryGetValue(type, out var known))
            return known;

        var attribute = type.GetCustomAttribute<MessageAttribute>() ?? throw new InvalidOperationException(
            $"{type} has no message name: put [Message(\"some.name\")] on it, or register it with AddMessage.");
        if (_byName.TryGetValue(attribute.Type, out var versions) &&
            versions.Find(other => other.Version == attribute.Version) is { } taken)
            throw new InvalidOperationException($"{type} cannot be published as {taken}: that belongs to {taken.ClrType}.");
        return _byClass.GetOrAdd(type, new MessageType(attribute.Type, attribute.Version, type, _serializer.GetTypeInfo(type)));
    }

    /// <summary>The registered type of a class, or <see langword="null"/>.</summary>
    public MessageType? Find(Type type) => Types.FirstOrDefault(candidate => candidate.ClrType == type);

    private void Add(MessageDeclaration declaration, List<string> errors)
    {
        var (type, name, version) = declaration;
        if (name is null)
        {
            if (type.GetCustomAttribute<MessageAttribute>() is not { } attribute)
            {
                errors.Add($"Message {type}: it has no [Message] attribute; give AddMessage a name and version.");
                return;
            }

            (name, version) = (attribute.Type, attribute.Version);
        }

        if (name.Length is < 1 or > MaxNameLength || version < 1)
        {
            errors.Add($"Message {type}: the name '{name}' must have 1 to {MaxNameLength} characters " +
                $"and the version {version} must be 1 or more.");
            return;
        }

        if (!_byName.TryGetValue(name, out var versions))
            _byName.Add(name, versions = []);
        if (versions.Find(other => other.Version == version) is { } taken)
        {
            if (taken.ClrType != type)
                errors.Add($"Message {name} version {version}: declared by both {taken.ClrType} and {type}.");
            return;
        }

        if (_byClass.TryGetValue(type, out var other))
        {
            errors.Add($"Message {type}: declared as both {other} and {name} version {version}.");
            return;
        }

        try
        {
            var added = new MessageType(name, version, type, _serializer.GetTypeInfo(type));
            versions.Add(added);
            _byClass[type] = added;
        }
        catch (Exception exception) when (exception is NotSupportedException or InvalidOperationException)
        {
            errors.Add($"Message {name} version {version}: {exception.Message}");
        }
    }

    private void Link(UpcasterDeclaration upcaster, List<string> errors)
    {
        var from = Find(upcaster.From);
        var to = Find(upcaster.To);
        var title = $"Upcaster from {upcaster.From} to {upcaster.To}";
        if (from is null || to is null)
            errors.Add($"{title}: {(from is null ? upcaster.From : upcaster.To)} is not a registered message.");
        else if (from.Name != to.Name || to.Version != from.Version + 1)
            errors.Add($"{title}: goes from {from} to {to}; an upcaster goes to the next version of the same name.");
        else if (from.Step is not null)
            errors.Add($"{title}: there is another one from {from}.");
        else
            from.Step = (to, upcaster.Upcast);
    }
}

/// <summary>A message type as the application declared it.</summary>
/// <param name="Type">The class.</param>
/// <param name="Name">Its name, or <see langword="null"/>: from its attribute.</param>
/// <param name="Version">Its version, when the name is given.</param>
internal sealed record MessageDeclaration(Type Type, string? Name, int Version);

/// <summary>An upcaster as the application declared it.</summary>
/// <param name="From">The class of version n.</param>
/// <param name="To">The class of version n + 1.</param>
/// <param name="Upcast">The step.</param>
internal sealed record UpcasterDeclaration(Type From, Type To, Func<object, object> Upcast);
