using Millrace.Embedded.Journal;

namespace Millrace.Embedded.Inspection;

/// <summary>Takes a whole frame.</summary>
/// <param name="frame">Its header.</param>
/// <param name="payload">Its records, valid during the call only.</param>
/// <param name="offset">Where it begins.</param>
internal delegate void FrameSeen(in FrameHeader frame, ReadOnlySpan<byte> payload, long offset);

/// <summary>Reads the frames of a file to its end, whatever lies between them.</summary>
internal static class FrameScan
{
    /// <summary>Hands out every whole frame, and every run of bytes that is none, in order.</summary>
    /// <param name="reader">At the first frame.</param>
    /// <param name="onFrame">Takes a frame.</param>
    /// <param name="onGap">Takes the offset and length of bytes that are no whole frame.</param>
    /// <returns>The highest LSN that a frame calls synced. As for a start, its header is enough, whatever became of its records.</returns>
    public static long Run(FrameReader reader, FrameSeen onFrame, Action<long, long> onGap)
    {
        long syncedLsn = 0, gap = -1;
        for (var offset = reader.Offset; offset < reader.FileLength;)
        {
            if (JournalFormat.TryReadFrameHeader(reader.Read(offset, JournalFormat.FrameHeaderBytes), reader.Header.Salt, out var header))
            {
                syncedLsn = Math.Max(syncedLsn, header.SyncedLsn);
                reader.MoveTo(offset);
                if (reader.TryRead(header.FirstLsn, out var frame, out var payload))
                {
                    if (gap >= 0)
                        onGap(gap, offset - gap);
                    gap = -1;
                    onFrame(frame, payload, offset);
                    offset = reader.Offset;
                    continue;
                }
            }

            // Every byte is tried, because damage hides where the next frame begins.
            if (gap < 0)
                gap = offset;
            offset++;
        }

        if (gap < 0)
            return syncedLsn;

        // A segment may be longer than it was written; a snapshot is not.
        reader.MoveTo(gap);
        if (reader.Header.IsSnapshot || !reader.IsOver())
            onGap(gap, reader.FileLength - gap);
        return syncedLsn;
    }
}
