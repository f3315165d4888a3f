using Microsoft.Extensions.Logging;

namespace Millrace.Embedded.Journal;

/// <summary>What the journal logs; event IDs 1100 to 1199.</summary>
internal static partial class JournalLog
{
    [LoggerMessage(1100, LogLevel.Information,
        "Recovered the journal in '{Directory}' in {DurationMs} ms: a snapshot of {SnapshotBytes} bytes and {Records} records of {Bytes} bytes.")]
    public static partial void Recovered(ILogger logger, string directory, long durationMs, long snapshotBytes, long records, long bytes);

    [LoggerMessage(1101, LogLevel.Warning,
        "The journal '{Path}' ended in a write that was cut off: truncated {Bytes} bytes at offset {Offset}, after record {Lsn}, and {Segments} segments " +
        "behind it. Kept {KeptBytes} bytes and the segments in '{Directory}', as *.bad. A crash or power cut leaves this; nothing in it was known to be " +
        "on the device.")]
    public static partial void TornTailTruncated(
        ILogger logger, string path, long bytes, long offset, long lsn, long keptBytes, int segments, string directory);

    [LoggerMessage(1102, LogLevel.Critical,
        "The journal '{Path}' takes no more writes: {Reason} Restart the process when the cause is gone.")]
    public static partial void Latched(ILogger logger, string path, string reason, Exception cause);

    [LoggerMessage(1103, LogLevel.Warning,
        "The failed write could not be cut off the journal '{Path}' at offset {Offset}; the next start will.")]
    public static partial void TruncateFailed(ILogger logger, string path, long offset, Exception cause);

    [LoggerMessage(1104, LogLevel.Error,
        "The device of the journal '{Path}' is full: {Reason} Writes are refused until there is room; it is tried once a second.")]
    public static partial void Full(ILogger logger, string path, string reason, Exception cause);

    [LoggerMessage(1105, LogLevel.Warning, "The journal '{Path}' takes writes again: there is room on its device.")]
    public static partial void RoomAgain(ILogger logger, string path);

    [LoggerMessage(1106, LogLevel.Warning,
        "The segment behind '{Path}' cannot be made: {Reason} The present one goes on; it is tried again with the next mebibyte.")]
    public static partial void RollPostponed(ILogger logger, string path, string reason, Exception cause);

    [LoggerMessage(1107, LogLevel.Warning, "No end could be written to the segment '{Path}': {Reason} The next segment was begun nevertheless.")]
    public static partial void EndNotWritten(ILogger logger, string path, string reason, Exception cause);

    [LoggerMessage(1108, LogLevel.Information, "Snapshot '{Path}' of {Bytes} bytes is current; deleted {Segments} segments that it covers.")]
    public static partial void SnapshotPublished(ILogger logger, string path, long bytes, int segments);

    [LoggerMessage(1109, LogLevel.Warning, "The file '{Path}' is not needed any more and could not be deleted: {Reason} The next start will.")]
    public static partial void NotDeleted(ILogger logger, string path, string reason, Exception cause);

    [LoggerMessage(1120, LogLevel.Information, "Captured {Keys} keys after record {Lsn} for a snapshot; calls waited {PauseMs} ms for that.")]
    public static partial void Captured(ILogger logger, long keys, long lsn, double pauseMs);

    [LoggerMessage(1121, LogLevel.Error,
        "No snapshot could be written: {Reason} The journal goes on and keeps everything; it is tried again when it has grown by as much again.")]
    public static partial void SnapshotFailed(ILogger logger, string reason, Exception cause);

    [LoggerMessage(1110, LogLevel.Warning, "The cut-off tail could not be set aside in '{Path}', and is gone: {Reason}")]
    public static partial void NotSetAside(ILogger logger, string path, string reason, Exception cause);

    [LoggerMessage(1122, LogLevel.Information,
        "The journal '{Path}' ended in {Bytes} zeros at offset {Offset}, after record {Lsn}: room that was made for more, or, after a power cut, " +
        "writes that never reached the device. They were cut off.")]
    public static partial void ZerosCut(ILogger logger, string path, long bytes, long offset, long lsn);
}
