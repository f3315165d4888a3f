namespace Millrace.Embedded.Journal;

/// <summary>What the journal promises, and its sizes.</summary>
internal sealed record JournalOptions
{
    /// <summary>When a record counts as durable.</summary>
    public SyncPolicy Sync { get; init; } = SyncPolicy.EverySecond;

    /// <summary>A segment that would grow above this is followed by the next: 64 MiB, a second's worth of a fast device.</summary>
    public long SegmentBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Records are gathered into frames up to this: 1 MiB, far above where the 32 bytes of a header count.</summary>
    public int FrameBytes { get; init; } = 1024 * 1024;

    /// <summary>Runs what no caller does itself. Default: the thread pool; a simulation runs it on its own thread.</summary>
    public Action<Action> Background { get; init; } =
        static work => ThreadPool.UnsafeQueueUserWorkItem(static work => work(), work, preferLocal: false);
}
