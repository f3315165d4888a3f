using System.Buffers;
using Millrace.Embedded.Storage;

namespace Millrace.Embedded.Journal;

/// <summary>
/// The end of the journal of which nothing says that it was synced. Recovery writes it once more, the same bytes to the same place, and then syncs.
/// </summary>
/// <remarks>
/// <para>A sync alone is not enough: when one failed before the restart, the system holds pages as clean that never reached the device. They are read
/// as if all were well, and no later sync writes them, until they are written to.</para>
/// <para>All in front of the end of a frame with records is on the device when its last record was synced, across segments. Marks and ends count only
/// when records behind them do. While reading, one frame is remembered until it is known to be synced, and the newest one: the second reading begins
/// at most an interval between two syncs too early, and skips what needs no writing there.</para>
/// </remarks>
/// <param name="device">The directory.</param>
/// <param name="first">The first segment that is read.</param>
/// <param name="syncedLsn">What is known to be synced before anything is read: the last record that the snapshot covers.</param>
internal sealed class UnsyncedTail(IStorageDevice device, FileHeader first, long syncedLsn)
{
    /// <summary>Bytes are gathered into writes of this size, and a frame that is larger is one write.</summary>
    private const int WriteBytes = 1024 * 1024;

    private long _syncedLsn = syncedLsn;
    private long _frameBytes;

    /// <summary>All in front of it is on the device.</summary>
    private Place _start = new(first.Number, JournalFormat.FileHeaderBytes, first.FirstLsn, 0);

    /// <summary>The end of a frame that waits to be known as synced.</summary>
    private Place _next = new(first.Number, JournalFormat.FileHeaderBytes, first.FirstLsn, 0);

    /// <summary>The end of the newest frame with records.</summary>
    private Place _last = new(first.Number, JournalFormat.FileHeaderBytes, first.FirstLsn, 0);

    /// <summary>Takes note of a frame, in their order.</summary>
    /// <param name="frame">Its header.</param>
    /// <param name="segment">Its segment.</param>
    /// <param name="endOffset">Where it ends there.</param>
    public void Add(in FrameHeader frame, long segment, long endOffset)
    {
        _syncedLsn = Math.Max(_syncedLsn, frame.SyncedLsn);
        MoveStart();
        _frameBytes += JournalFormat.FrameHeaderBytes + frame.Length;
        if (frame.Kind == FrameKind.Records)
            _last = new(segment, endOffset, frame.NextLsn, _frameBytes);
    }

    /// <summary>
    /// Writes it once more and syncs each segment of it, the oldest first. Reads it once more, too, and writes whole frames only: what the system lets
    /// go of meanwhile comes back from the device as something else.
    /// </summary>
    /// <param name="lastSegment">The segment in which the journal ends.</param>
    /// <exception cref="IOException">The device failed, or what is read now is not what was read before. The files have lost nothing by it.</exception>
    public void WriteAndSync(long lastSegment)
    {
        MoveStart();
        var (lsn, offset) = (_start.NextLsn, _start.Offset);
        var leftBytes = _frameBytes - _start.FrameBytes;
        for (var number = _start.Segment; number <= lastSegment; number++)
        {
            var name = JournalFiles.SegmentName(number);
            using var file = device.Open(name, writable: true);
            var reader = new FrameReader(file, isSnapshot: false, JournalFiles.PathOf(device, name));
            reader.MoveTo(offset);
            lsn = Write(file, reader, lsn);
            leftBytes -= reader.Offset - offset;
            file.SyncData();
            offset = JournalFormat.FileHeaderBytes;
        }

        if (leftBytes != 0)
            throw new IOException(
                $"The journal in '{device.Path}' lacks {leftBytes} bytes that could be read a moment ago: the system had them in its memory since a sync " +
                "failed, and the device never got them. Start again to go on with what is there.");
    }

    /// <returns>The record behind the last whole frame, at which the reader stays.</returns>
    private long Write(IStorageFile file, FrameReader reader, long lsn)
    {
        var gathered = new ArrayBufferWriter<byte>();
        var offset = reader.Offset;
        while (reader.TryRead(lsn, out var frame, out _))
        {
            lsn = frame.NextLsn;
            var length = JournalFormat.FrameHeaderBytes + frame.Length;

            // A frame without records has the LSN of the record behind it.
            if (Math.Max(frame.FirstLsn, frame.NextLsn - 1) <= _syncedLsn)
                offset += length;
            else
                gathered.Write(reader.Read(reader.Offset - length, length));
            if (gathered.WrittenCount >= WriteBytes)
                WriteGathered();
            if (frame.Kind == FrameKind.End)
                break;
        }

        if (gathered.WrittenCount > 0)
            WriteGathered();
        return lsn;

        void WriteGathered()
        {
            file.Write(gathered.WrittenSpan, offset);
            offset += gathered.WrittenCount;
            gathered.ResetWrittenCount();
        }
    }

    private void MoveStart()
    {
        if (_last.NextLsn <= _syncedLsn + 1)
            _start = _next = _last;
        else if (_next.NextLsn <= _syncedLsn + 1)
            (_start, _next) = (_next, _last);
    }

    /// <summary>The end of a frame.</summary>
    /// <param name="Segment">Its segment.</param>
    /// <param name="Offset">Where it ends there.</param>
    /// <param name="NextLsn">The record behind it.</param>
    /// <param name="FrameBytes">Bytes of all frames up to it.</param>
    private readonly record struct Place(long Segment, long Offset, long NextLsn, long FrameBytes);
}
