using Microsoft.Extensions.Logging;
using Millrace.Streams;

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

    [LoggerMessage(1420, LogLevel.Information, "This process runs the projection '{Projection}' of '{Source}'.")]
    public static partial void ProjectionTaken(ILogger logger, string projection, string source);

    [LoggerMessage(1421, LogLevel.Warning, "Another process has taken over the projection '{Projection}' of '{Source}', or may have.")]
    public static partial void ProjectionLost(ILogger logger, string projection, string source);

    [LoggerMessage(1422, LogLevel.Warning, "The lease of the projection '{Projection}' could not be renewed or given up.")]
    public static partial void ProjectionRenewalFailed(ILogger logger, Exception exception, string projection);

    [LoggerMessage(1423, LogLevel.Warning, "The projection '{Projection}' of '{Source}' failed; it goes on trying.")]
    public static partial void ProjectionFailing(ILogger logger, Exception exception, string projection, string source);

    [LoggerMessage(1424, LogLevel.Error, "The projection '{Projection}' has stopped with its generation {Generation}: {Reason}")]
    public static partial void ProjectionStopped(ILogger logger, string projection, int generation, string reason);

    [LoggerMessage(1425, LogLevel.Warning, "The projection '{Projection}' passed over the entry {EntryId}: {Reason}")]
    public static partial void ProjectionSkipped(ILogger logger, string projection, EntryId entryId, string reason);

    [LoggerMessage(1426, LogLevel.Error, "The projection '{Projection}' lacks entries: {Loss}.")]
    public static partial void ProjectionSourceLost(ILogger logger, string projection, string loss);

    [LoggerMessage(1427, LogLevel.Information, "The generation {Generation} of the projection '{Projection}' serves queries, at {Position}.")]
    public static partial void ProjectionSwapped(ILogger logger, string projection, int generation, EntryId position);

    [LoggerMessage(1440, LogLevel.Warning, "The notes of the job queue '{Queue}' cannot be read; those who wait for jobs wait on.")]
    public static partial void JobNotesFailed(ILogger logger, Exception exception, string queue);

    [LoggerMessage(1441, LogLevel.Warning, "The progress of the job {JobId} of '{Queue}' was not written.")]
    public static partial void JobProgressFailed(ILogger logger, Exception exception, string jobId, string queue);
}
