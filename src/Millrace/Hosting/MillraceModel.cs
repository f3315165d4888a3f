using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Messages;
using Millrace.Recurring;

namespace Millrace.Hosting;

/// <summary>What the application declared, until the first service is made of it.</summary>
internal sealed class MillraceModel
{
    private bool _isFrozen;

    public List<MessageDeclaration> Messages { get; } = [];

    public List<UpcasterDeclaration> Upcasters { get; } = [];

    public List<ConsumerRegistration> Consumers { get; } = [];

    public List<RecurringMessage> Recurring { get; } = [];

    public List<JsonSerializerContext> JsonContexts { get; } = [];

    public List<Action<JsonSerializerOptions>> ConfigureJson { get; } = [];

    /// <summary>What to keep of streams; one stream may come several times.</summary>
    public List<(string Stream, Action<StreamRetention> Configure)> Retentions { get; } = [];

    /// <summary>The priority lanes of streams; one stream may come several times.</summary>
    public List<(string Stream, Action<LaneOptions> Configure)> Lanes { get; } = [];

    public List<Action<MillraceOptions>> Configure { get; } = [];

    /// <summary>The consumer name of stores that only one process can open, or <see langword="null"/>.</summary>
    public string? StoreInstanceName { get; set; }

    public bool HasStore { get; set; }

    /// <summary>Whether consumers and recurring messages run; only test hosts leave them out.</summary>
    public bool RunsConsumers { get; set; } = true;

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

    public void AddRecurring(RecurringMessage recurring)
    {
        if (Recurring.Exists(other => other.Ticks == recurring.Ticks))
            throw new InvalidOperationException($"There are two recurring messages '{recurring.Name}' of one stream; give each a name of its own.");
        AddConsumer(recurring.Consumer);
        Recurring.Add(recurring);
        if (!JsonContexts.Contains(RecurringJson.Default))
            JsonContexts.Add(RecurringJson.Default);
    }

    public void Freeze() => _isFrozen = true;
}
