using Millrace.Embedded.Journal;

namespace Millrace.Embedded;

/// <summary>Where the embedded store keeps its streams, and how many. Read once, when the store is made.</summary>
public sealed class EmbeddedStoreOptions
{
    /// <summary>
    /// The data directory, made when it is missing. One process at a time may use it. Default <see langword="null"/>: everything stays in
    /// memory and is gone when the store is closed.
    /// </summary>
    public string? Directory { get; set; }

    /// <summary>When a write counts as durable and its reply may leave. Default <see cref="SyncPolicy.EverySecond"/>.</summary>
    public SyncPolicy Sync { get; set; } = SyncPolicy.EverySecond;

    /// <summary>
    /// Bytes of memory that the keys may take by the engine's own count; above, appends, new groups and consumers, and commits that need memory are
    /// refused with <see cref="Streams.StreamErrorCode.OutOfMemory"/>, or wait, as <see cref="WhenFull"/> says. Acks, deletes, trims, claims and
    /// reads always pass, and nothing is ever evicted. What consumers write to go on (<see cref="Streams.Commit.IsUpkeep"/>), and what handlers publish
    /// with their acks, may take a sixteenth more, or nothing would make room again. Leave room for buffers and the garbage collector: the process takes
    /// more than the keys do. The last write may exceed it. A server on this store shows it as <c>maxmemory</c>, and its clients can change it. 0 for no
    /// limit. Default 0.
    /// </summary>
    public long MaxMemoryBytes { get; set; }

    /// <summary>
    /// What becomes of a publisher that finds no memory. Commits that settle a delivery or are upkeep, so that nobody's ack waits behind them, or that
    /// publish nothing, never wait and are refused at once; nor do the clients of a server wait. At most 1,000 publishers wait; more are refused.
    /// Default <see cref="WhenFull.Reject"/>.
    /// </summary>
    public WhenFull WhenFull { get; set; } = WhenFull.Reject;

    /// <summary>How long a publisher waits for memory with <see cref="WhenFull.Wait"/>, at most 45 days. Default 30 seconds.</summary>
    public TimeSpan MaxWaitWhenFull { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// A snapshot is written, and the journal before it deleted, when the journal has grown by this many bytes since the last one, by as many as that
    /// took, and either half of the files can go or it has grown by eight times this. Default 64 MiB. Less makes restarts faster, as they read less
    /// journal, and writes more to the device: up to as much again as the journal does, when it is far below what the store holds. Calls go on meanwhile,
    /// but for the moment in which each key is looked at. Memory: what is deleted while a snapshot is written goes when that is done.
    /// </summary>
    public long SnapshotAfterBytes { get; set; } = 64 * 1024 * 1024;

    /// <summary>Sizes that tests make small; its policy is <see cref="Sync"/>.</summary>
    internal JournalOptions Journal { get; set; } = new();
}
