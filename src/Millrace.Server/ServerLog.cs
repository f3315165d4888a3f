using Microsoft.Extensions.Logging;

namespace Millrace.Server;

/// <summary>What the server logs; event IDs 1200 to 1299.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(1200, LogLevel.Error, "The command that client {Client} waited in failed: a bug. The client was disconnected.")]
    public static partial void CommandFailed(ILogger logger, long client, Exception cause);
}
