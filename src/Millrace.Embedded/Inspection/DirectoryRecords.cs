using Millrace.Embedded.Journal;

namespace Millrace.Embedded.Inspection;

/// <summary>Takes a whole record.</summary>
/// <param name="lsn">Its number.</param>
/// <param name="record">Its bytes, valid during the call only.</param>
/// <param name="file">The segment.</param>
/// <param name="offset">Where its frame begins.</param>
internal delegate void RecordSeen(long lsn, ReadOnlySpan<byte> record, string file, long offset);

/// <summary>Reads the records of a directory that was surveyed, over whatever is damaged.</summary>
internal static class DirectoryRecords
{
    /// <summary>Hands out every whole record of the segments that a start would keep, in order, damage left out.</summary>
    public static void Read(DirectoryReport report, RecordSeen onRecord)
    {
        var directory = DataDirectory.List(report.Directory);
        foreach (var segment in report.Files.Where(static file => file is { Kind: "segment", FirstLsn: not null }))
        {
            using var file = directory.Open(segment.Name);
            FrameScan.Run(
                new(file, isSnapshot: false, segment.Name),
                (in FrameHeader frame, ReadOnlySpan<byte> payload, long offset) => Read(report, frame, payload, segment.Name, offset, onRecord),
                static (_, _) => { });
        }
    }

    private static void Read(
        DirectoryReport report, in FrameHeader frame, ReadOnlySpan<byte> payload, string file, long offset, RecordSeen onRecord)
    {
        var records = new FrameRecords(payload);
        for (var lsn = frame.FirstLsn; lsn <= report.LastLsn && records.TryNext(out var record); lsn++)
            onRecord(lsn, record, file, offset);
    }
}
