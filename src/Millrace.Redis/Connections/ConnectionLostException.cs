namespace Millrace.Redis.Connections;

/// <summary>The connection broke before a command was given to it: nothing was sent, and another connection may be
/// tried. Never leaves the client.</summary>
internal sealed class ConnectionLostException(string message, Exception? reason) : Exception(message, reason);
