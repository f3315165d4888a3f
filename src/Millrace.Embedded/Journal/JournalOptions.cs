namespace Millrace.Embedded.Journal;

/// <summary>What the journal promises.</summary>
internal sealed record JournalOptions
{
    /// <summary>When a record counts as durable.</summary>
    public SyncPolicy Sync { get; init; } = SyncPolicy.EverySecond;
}
