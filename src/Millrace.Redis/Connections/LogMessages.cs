using Microsoft.Extensions.Logging;

namespace Millrace.Redis.Connections;

/// <summary>What the client logs. Event IDs 3000 to 3099. Never arguments, never replies.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(3000, LogLevel.Warning,
        "Attempt {Attempt} of {Attempts} to connect to Redis at {Endpoint} failed; the next follows in {DelayMs:0} ms. {Reason}")]
    public static partial void ConnectFailed(
        this ILogger logger, string endpoint, int attempt, int attempts, double delayMs, string reason);

    [LoggerMessage(3001, LogLevel.Information, "Connected to Redis at {Endpoint}.")]
    public static partial void Connected(this ILogger logger, string endpoint);

    [LoggerMessage(3002, LogLevel.Warning, "The connection to Redis at {Endpoint} broke. {Reason}")]
    public static partial void ConnectionBroke(this ILogger logger, string endpoint, string reason);

    [LoggerMessage(3003, LogLevel.Warning,
        "The subscriptions to Redis at {Endpoint} are interrupted; another attempt follows in {DelayMs:0} ms. {Reason}")]
    public static partial void SubscriptionsInterrupted(this ILogger logger, string endpoint, double delayMs, string reason);

    [LoggerMessage(3004, LogLevel.Warning,
        "A cancelled read on Redis at {Endpoint} could not be ended there; its connection is dropped. {Reason}")]
    public static partial void UnblockFailed(this ILogger logger, string endpoint, string reason);
}
