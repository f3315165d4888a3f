namespace Millrace;

/// <summary>What a live consumer last said of itself.</summary>
public sealed record ConsumerInstance
{
    /// <summary>Its name in the group, see <see cref="MillraceOptions.InstanceName"/>.</summary>
    public required string Name { get; init; }

    /// <summary>The machine it runs on.</summary>
    public required string Host { get; init; }

    /// <summary>Its process there.</summary>
    public required int ProcessId { get; init; }

    /// <summary>The version of the application, or <see langword="null"/> when it has none.</summary>
    public string? Version { get; init; }

    /// <summary>When it began to consume, by its own clock.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>When it said this, by its own clock: at most 10 s ago while all is well.</summary>
    public required DateTimeOffset SeenAt { get; init; }

    /// <summary>Deliveries it held then, queued and running.</summary>
    public required int Held { get; init; }

    /// <summary>Deliveries among them whose handler ran.</summary>
    public required int Running { get; init; }

    /// <summary>Handlers it may run at once, see <see cref="ConsumerOptions.Concurrency"/>.</summary>
    public required int Concurrency { get; init; }
}
