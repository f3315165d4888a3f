using Millrace.Embedded.Storage;

namespace Millrace.Embedded.Journal;

/// <summary>One segment after the other.</summary>
internal sealed partial class StreamJournal
{
    /// <summary>Takes the frames. Changed by the sole writer, under the lock.</summary>
    private JournalSegment _segment;

    /// <summary>Older segments with bytes that the device may lack; open until they are synced.</summary>
    private readonly List<JournalSegment> _ended = [];

    /// <summary>Every segment there is, the one being written included, by first LSN.</summary>
    private readonly List<SegmentSpan> _segments;

    /// <summary>After a segment could not be begun, for want of room or descriptors, the present one goes on to this length.</summary>
    private long _rollAgainAt;

    /// <summary>
    /// Begins the next segment. Nothing is lost when it cannot be made: the present one goes on. What fails after it was made, is final, and so
    /// is a lock that another process has taken.
    /// </summary>
    private void Roll(long firstLsn)
    {
        if (_segment.IsEmpty || _segment.Length < _rollAgainAt || TryMakeNext(firstLsn) is not { } next)
            return;

        try
        {
            _segment.Trim();
            next.Publish(_device);
            WriteEnd(firstLsn);
        }
        catch
        {
            next.Dispose();
            throw;
        }

        _rollAgainAt = 0;
        lock (_gate)
        {
            _ended.Add(_segment);
            _segment = next;
            _segments.Add(new(next.Header.Number, firstLsn));
        }
    }

    /// <summary>Says in the segment that the next one exists. Without room for that nothing is missing but the hint, should the next file get lost.</summary>
    private void WriteEnd(long firstLsn)
    {
        try
        {
            _segment.Write(FrameKind.End, firstLsn, Volatile.Read(ref _syncedLsn));
        }
        catch (StorageFullException exception)
        {
            JournalLog.EndNotWritten(_logger, _segment.Path, exception.Message, exception);
            _segment.CutOff();
        }
    }

    private JournalSegment? TryMakeNext(long firstLsn)
    {
        bool isHeld;
        JournalSegment? next = null;
        try
        {
            isHeld = _device.HoldsLock();
            if (isHeld)
                next = JournalSegment.Make(_device, _segment.Header.Number + 1, firstLsn);
        }
        catch (IOException exception)
        {
            JournalLog.RollPostponed(_logger, _segment.Path, exception.Message, exception);
            _rollAgainAt = _segment.Length + _options.FrameBytes;
            return null;
        }

        return isHeld ? next : throw new IOException($"Another process has taken the directory '{_device.Path}'.");
    }
}

/// <summary>Which records a segment holds.</summary>
/// <param name="Number">The segment.</param>
/// <param name="FirstLsn">Its first record; the last is the one before the next segment's first.</param>
internal readonly record struct SegmentSpan(long Number, long FirstLsn);
