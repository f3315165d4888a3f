using Microsoft.Extensions.Logging;

namespace Millrace;

/// <summary>Everything the patterns log. Numbers 1400 to 1499.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(1400, LogLevel.Warning, "The snapshot of '{Stream}' at version {Version} was not taken; the next append tries again.")]
    public static partial void SnapshotFailed(ILogger logger, Exception exception, string stream, long version);

    [LoggerMessage(1401, LogLevel.Warning, "The snapshot of '{Stream}' cannot be read; its state is built from the events.")]
    public static partial void SnapshotUnreadable(ILogger logger, Exception exception, string stream);

    [LoggerMessage(1410, LogLevel.Error, "The saga '{Saga}' with the ID '{Id}' needs attention: {Reason}")]
    public static partial void SagaNeedsAttention(ILogger logger, string saga, string id, string reason);
}
