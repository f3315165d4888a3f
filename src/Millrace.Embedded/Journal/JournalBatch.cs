using System.Diagnostics;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Records on their way to disk, in frames, and those who wait for them. The journal has two: one is filled while the other is written. Not safe
/// for concurrent use; the journal's lock, or the sole writer, guards it.
/// </summary>
internal sealed class JournalBatch(int frameBytes)
{
    /// <summary>Frames that a burst filled are not kept above this: an idle store must not sit on them.</summary>
    private const int KeptBytes = 4 * 1024 * 1024;

    /// <summary>The frames in use, and behind them those kept for the next filling.</summary>
    private readonly List<FrameBuffer> _frames = [];

    private int _frameCount;
    private bool _segmentIsDue;
    private BatchWaiters? _waiters;

    /// <summary>The frames that hold records.</summary>
    public ReadOnlySpan<FrameBuffer> Frames => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_frames)[.._frameCount];

    /// <summary>Frames that are in the file, so that a write that failed midway is taken up where it failed. The writer's.</summary>
    public int WrittenFrames { get; set; }

    /// <summary>Bytes of the records; close enough to those of the frames.</summary>
    public long Length { get; private set; }

    /// <summary>The LSN of the last record; zero when there is none.</summary>
    public long LastLsn { get; private set; }

    public bool HasWaiters => _waiters is not null;

    /// <summary>How many wait.</summary>
    public int WaiterCount => _waiters?.Count ?? 0;

    public void Add(long lsn, ReadOnlySpan<byte> record)
    {
        Debug.Assert(LastLsn == 0 || lsn == LastLsn + 1, "LSNs have no gaps.");
        if (_frameCount == 0 || _segmentIsDue || !_frames[_frameCount - 1].HasRoom(record.Length, frameBytes))
            BeginFrame(lsn);
        _frames[_frameCount - 1].Add(record);
        Length += record.Length;
        LastLsn = lsn;
    }

    /// <summary>The next record begins a new segment.</summary>
    public void BeginSegment() => _segmentIsDue = true;

    /// <summary>Makes somebody wait.</summary>
    public BatchWaiter<TResult> Wait<TResult>(TResult result)
    {
        var waiter = new BatchWaiter<TResult>(result);
        (_waiters ??= new()).Add(waiter);
        return waiter;
    }

    /// <summary>Hands out those who wait, to be told outside the lock.</summary>
    public BatchWaiters? TakeWaiters()
    {
        var waiters = _waiters;
        _waiters = null;
        return waiters;
    }

    /// <summary>Empties the batch for its next filling and hands out those who wait.</summary>
    public BatchWaiters? Clear()
    {
        var keptBytes = 0;
        var kept = 0;
        while (kept < _frames.Count && (keptBytes += _frames[kept].Capacity) <= KeptBytes)
            kept++;
        _frames.RemoveRange(kept, _frames.Count - kept);
        _frameCount = 0;
        WrittenFrames = 0;
        Length = 0;
        LastLsn = 0;
        return TakeWaiters();
    }

    private void BeginFrame(long firstLsn)
    {
        if (_frameCount == _frames.Count)
            _frames.Add(new());
        _frames[_frameCount++].Begin(firstLsn, _segmentIsDue);
        _segmentIsDue = false;
    }
}
