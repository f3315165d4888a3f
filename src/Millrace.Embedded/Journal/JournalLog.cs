using Microsoft.Extensions.Logging;

namespace Millrace.Embedded.Journal;

/// <summary>What the journal logs; event IDs 1100 to 1199.</summary>
internal static partial class JournalLog
{
    [LoggerMessage(1100, LogLevel.Information,
        "Recovered the journal '{Path}': {Records} records, {Bytes} bytes.")]
    public static partial void Recovered(ILogger logger, string path, long records, long bytes);

    [LoggerMessage(1101, LogLevel.Warning,
        "The journal '{Path}' ended in a write that was cut off: truncated {Bytes} bytes at offset {Offset}, after record {Lsn}. " +
        "A killed process or a power cut leaves this; the cut-off write was never acknowledged.")]
    public static partial void TornTailTruncated(ILogger logger, string path, long bytes, long offset, long lsn);

    [LoggerMessage(1102, LogLevel.Critical,
        "The journal '{Path}' takes no more writes: {Reason} Restart the process when the cause is gone.")]
    public static partial void Latched(ILogger logger, string path, string reason, Exception cause);

    [LoggerMessage(1103, LogLevel.Warning,
        "The failed write could not be cut off the journal '{Path}' at offset {Offset}; the next start will.")]
    public static partial void TruncateFailed(ILogger logger, string path, long offset, Exception cause);
}
