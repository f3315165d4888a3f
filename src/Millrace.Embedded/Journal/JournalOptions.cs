namespace Millrace.Embedded.Journal;

/// <summary>Where the journal lives and what it promises.</summary>
internal sealed record JournalOptions
{
    /// <summary>The data directory; made when missing. One process at a time may hold it.</summary>
    public required string Directory { get; init; }

    /// <summary>When a record counts as durable.</summary>
    public SyncPolicy Sync { get; init; } = SyncPolicy.EverySecond;
}
