using System.Globalization;
using System.Text;

namespace Millrace.Server.Commands.Admin;

/// <summary>The sections about what was counted.</summary>
internal static partial class ServerInfo
{
    private static void WriteStatistics(StringBuilder text, RespServer server, long nowMs)
    {
        var statistics = server.Statistics;
        Append(text, "total_connections_received", server.ReceivedCount);
        Append(text, "total_commands_processed", statistics.Processed);
        Append(text, "instantaneous_ops_per_sec", statistics.PerSecond);
        Append(text, "rejected_connections", server.RejectedCount);
        Append(text, "evicted_keys", 0);
        Append(text, "keyspace_hits", statistics.Hits);
        Append(text, "keyspace_misses", statistics.Misses);
        Append(text, "pubsub_channels", server.Subscriptions.Channels.Listeners.Count);
        Append(text, "pubsub_patterns", server.Subscriptions.Patterns.Listeners.Count);
        Append(text, "pubsubshard_channels", server.Subscriptions.ShardChannels.Listeners.Count);
        Append(text, "total_error_replies", statistics.ErrorReplies);
    }

    /// <summary>Calls are counted; the time is that of the calls that were measured, as if the others had taken the same on average.</summary>
    private static void WriteCommands(StringBuilder text, RespServer server, long nowMs)
    {
        foreach (var (command, counter) in server.Statistics.All)
            text.Append(
                CultureInfo.InvariantCulture,
                $"cmdstat_{command.FullName}:calls={counter.Calls},usec={counter.AverageMicroseconds * counter.Calls:F0}," +
                $"usec_per_call={counter.AverageMicroseconds:F2},rejected_calls={counter.Rejected},failed_calls={counter.Failed}\r\n");
    }

    private static void WriteErrors(StringBuilder text, RespServer server, long nowMs)
    {
        foreach (var (code, count) in server.Statistics.Errors.OrderBy(static error => error.Key, StringComparer.Ordinal))
            text.Append(CultureInfo.InvariantCulture, $"errorstat_{code}:count={count}\r\n");
    }

    private static void WriteLatencies(StringBuilder text, RespServer server, long nowMs)
    {
        foreach (var (command, counter) in server.Statistics.All)
        {
            if (counter.Measured > 0)
                text.Append(
                    CultureInfo.InvariantCulture,
                    $"latency_percentiles_usec_{command.FullName}:p50={counter.Percentile(0.5):F3}," +
                    $"p99={counter.Percentile(0.99):F3},p99.9={counter.Percentile(0.999):F3}\r\n");
        }
    }
}
