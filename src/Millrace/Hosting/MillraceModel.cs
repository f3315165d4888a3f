using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Messages;

namespace Millrace.Hosting;

/// <summary>What the application declared, until the first service is made of it.</summary>
internal sealed class MillraceModel
{
    private bool _isFrozen;

    public List<MessageDeclaration> Messages { get; } = [];

    public List<UpcasterDeclaration> Upcasters { get; } = [];

    public List<ConsumerRegistration> Consumers { get; } = [];

    public List<JsonSerializerContext> JsonContexts { get; } = [];

    public List<Action<JsonSerializerOptions>> ConfigureJson { get; } = [];

    public List<Action<MillraceOptions>> Configure { get; } = [];

    /// <summary>The consumer name of stores that only one process can open, or <see langword="null"/>.</summary>
    public string? StoreInstanceName { get; set; }

    public bool HasStore { get; set; }

    public void AddConsumer(ConsumerRegistration registration)
    {
        ArgumentException.ThrowIfNullOrEmpty(registration.Stream, "stream");
        ArgumentException.ThrowIfNullOrEmpty(registration.Group, "group");
        if (_isFrozen)
            throw new InvalidOperationException(
                $"The consumer of '{registration.Stream}' in group '{registration.Group}' came too late: " +
                "add consumers before the host starts and before anything is published.");
        Consumers.Add(registration);
    }

    public void Freeze() => _isFrozen = true;
}
