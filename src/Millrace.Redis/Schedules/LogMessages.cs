using Microsoft.Extensions.Logging;

namespace Millrace.Redis.Schedules;

/// <summary>What the promotion of schedules logs. Event IDs 3100 to 3199.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(3100, LogLevel.Warning,
        "Scheduled entries could not be moved; they stay scheduled and are tried again every few seconds. {Reason}")]
    public static partial void PromotionFailed(this ILogger logger, string reason);

    [LoggerMessage(3101, LogLevel.Information,
        "No subscription to {Channel}: entries that other processes schedule may be late by up to {CheckInterval}. {Reason}")]
    public static partial void NoSubscription(this ILogger logger, string channel, TimeSpan checkInterval, string reason);
}
