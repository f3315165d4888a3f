using Millrace.Embedded.Journal;

namespace Millrace.Embedded;

/// <summary>Where the embedded store keeps its streams. Read once, when the store is made.</summary>
public sealed class EmbeddedStoreOptions
{
    /// <summary>
    /// The data directory, made when it is missing. One process at a time may use it. Default <see langword="null"/>: everything stays in
    /// memory and is gone when the store is closed.
    /// </summary>
    public string? Directory { get; set; }

    /// <summary>When a write counts as durable and its reply may leave. Default <see cref="SyncPolicy.EverySecond"/>.</summary>
    public SyncPolicy Sync { get; set; } = SyncPolicy.EverySecond;

    /// <summary>Sizes that tests make small; its policy is <see cref="Sync"/>.</summary>
    internal JournalOptions Journal { get; set; } = new();
}
