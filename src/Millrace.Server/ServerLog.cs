using Microsoft.Extensions.Logging;

namespace Millrace.Server;

/// <summary>What the server logs; event IDs 1200 to 1299.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(1200, LogLevel.Error, "The command that client {Client} waited in failed: a bug. The client was disconnected.")]
    public static partial void CommandFailed(ILogger logger, long client, Exception cause);

    [LoggerMessage(1201, LogLevel.Warning, "No client can be accepted: {Reason}. Those that are connected go on; new ones wait.")]
    public static partial void OutOfDescriptors(ILogger logger, string reason);

    [LoggerMessage(1202, LogLevel.Warning, "At most {Clients} clients instead of {Wanted}: the process may not open more files (ulimit -n).")]
    public static partial void FewerClients(ILogger logger, int clients, int wanted);
}
