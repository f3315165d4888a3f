namespace Millrace;

/// <summary>What a consumer group is at in this process.</summary>
public sealed record ConsumerReport
{
    /// <summary>The stream.</summary>
    public required string Stream { get; init; }

    /// <summary>The group.</summary>
    public required string Group { get; init; }

    /// <summary>What it is at.</summary>
    public required WorkerState State { get; init; }

    /// <summary>Since when, by this process's clock.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>More for people: what failed last, which entry it halted at. <see langword="null"/>: there is no more to say.</summary>
    public string? Detail { get; init; }
}
