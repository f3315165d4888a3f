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

    /// <summary>
    /// Under <see cref="SyncPolicy.Always"/> frames from here on, which several callers share, have room made for them and for more: a block of the
    /// file system. For less, a sync seldom needs a block.
    /// </summary>
    public int MinAheadFrameBytes { get; init; } = 4 * 1024;

    /// <summary>The same up to here: 64 KiB. For more, writing every byte twice costs more than it saves.</summary>
    public int MaxAheadFrameBytes { get; init; } = 64 * 1024;

    /// <summary>That room: 1 MiB.</summary>
    public int AheadBytes { get; init; } = 1024 * 1024;

    /// <summary>Runs what no caller does itself. Default: the thread pool; a simulation runs it on its own thread.</summary>
    public Action<Action> Background { get; init; } =
        static work => ThreadPool.UnsafeQueueUserWorkItem(static work => work(), work, preferLocal: false);

    /// <summary>
    /// Runs the sync that the timer begins. Default: a thread of its own each time. The pool has about one for each processor, and who handles messages
    /// would miss it for the quarter of a second that half a gigabyte takes.
    /// </summary>
    public Action<Action> Aside { get; init; } = RunAside;

    private static void RunAside(Action work)
    {
        try
        {
            new Thread(() => work()) { IsBackground = true, Name = "Millrace journal" }.UnsafeStart();
        }
        catch (OutOfMemoryException)
        {
            // The system gives this process no more threads. Those that it has will do.
            ThreadPool.UnsafeQueueUserWorkItem(static work => work(), work, preferLocal: false);
        }
    }
}
