namespace Millrace.EventSourcing;

/// <summary>What may be said about an append besides its events. Everything is optional.</summary>
public sealed record AppendOptions
{
    /// <summary>
    /// What the events are an answer to. A second append to the stream with the same ID within <see cref="EventStoreOptions.CommandWindow"/> appends
    /// nothing and gives the result of the first. A command that led to no event is not remembered. Default: every append counts.
    /// </summary>
    /// <exception cref="ArgumentException">It is empty: all such commands would be one.</exception>
    public string? CommandId
    {
        get;
        init => field = value is "" ? throw new ArgumentException("A command ID has at least one character.", nameof(CommandId)) : value;
    }

    /// <summary>The conversation the events belong to. Default: they begin one, together.</summary>
    public string? CorrelationId { get; init; }

    /// <summary>The message that caused the events. Default: <see cref="CommandId"/>.</summary>
    public string? CausationId { get; init; }

    /// <summary>Headers of the application, on each of the events. Default: none.</summary>
    /// <exception cref="ArgumentException">A name is one the event store uses.</exception>
    public IReadOnlyDictionary<string, string>? Headers
    {
        get;
        init => field = value?.Keys.FirstOrDefault(EventStoreNames.IsOrigin) is { } name
            ? throw new ArgumentException($"The header '{name}' is the event store's own.", nameof(Headers))
            : value;
    }

    internal PublishOptions ToPublishOptions() => new()
    {
        CorrelationId = CorrelationId ?? CommandId ?? Guid.NewGuid().ToString(),
        CausationId = CausationId ?? CommandId,
        Headers = Headers,
    };
}
