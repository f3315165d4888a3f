using Microsoft.Extensions.Logging;

namespace Millrace.EntityFrameworkCore;

/// <summary>Everything that outbox and inbox log. Numbers 1500 to 1549.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(1500, LogLevel.Warning, "The outbox '{Outbox}' could not be relayed; it is tried again.")]
    public static partial void RelayFailed(ILogger logger, Exception exception, string outbox);

    [LoggerMessage(1501, LogLevel.Warning, "The store refused row {Row} of the outbox for '{Stream}', attempt {Attempt}; it is tried again.")]
    public static partial void RowRefused(ILogger logger, Exception exception, long row, string stream, int attempt);

    [LoggerMessage(1502, LogLevel.Error, "Row {Row} of the outbox for '{Stream}' is parked after {Attempts} attempts: the store refuses it.")]
    public static partial void RowParked(ILogger logger, Exception exception, long row, string stream, int attempts);

    [LoggerMessage(1503, LogLevel.Warning, "The outbox '{Outbox}' cannot listen for commits of other processes; it polls, and tries again.")]
    public static partial void ListeningFailed(ILogger logger, Exception exception, string outbox);

    [LoggerMessage(1504, LogLevel.Warning, "The relays of the outbox '{Outbox}' could not be told of a commit; they poll.")]
    public static partial void WakeUpFailed(ILogger logger, Exception exception, string outbox);

    [LoggerMessage(1505, LogLevel.Warning, "The rows of the outbox '{Outbox}' could not be counted or cleaned up; it is tried again.")]
    public static partial void CareFailed(ILogger logger, Exception exception, string outbox);

    [LoggerMessage(1520, LogLevel.Warning, "The inbox of {Context} could not be cleaned up; it is tried again.")]
    public static partial void CleaningFailed(ILogger logger, Exception exception, string context);
}
