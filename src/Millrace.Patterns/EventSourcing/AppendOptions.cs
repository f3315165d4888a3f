namespace Millrace.EventSourcing;

/// <summary>What may be said about an append besides its events. Everything is optional.</summary>
public sealed record AppendOptions
{
    /// <summary>
    /// What the events are an answer to. A second append to the stream with the same ID within <see cref="EventStoreOptions.CommandWindow"/> appends
    /// nothing and gives the result of the first. Default: every append counts.
    /// </summary>
    public string? CommandId { get; init; }

    /// <summary>The conversation the events belong to. Default: each begins one.</summary>
    public string? CorrelationId { get; init; }

    /// <summary>The message that caused the events. Default: <see cref="CommandId"/>.</summary>
    public string? CausationId { get; init; }

    /// <summary>Headers of the application, on each of the events. Default: none.</summary>
    public IReadOnlyDictionary<string, string>? Headers { get; init; }

    internal PublishOptions ToPublishOptions() => new()
    {
        CorrelationId = CorrelationId,
        CausationId = CausationId ?? CommandId,
        Headers = Headers,
    };
}
