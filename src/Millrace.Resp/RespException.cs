namespace Millrace.Resp;

/// <summary>Bytes that are not RESP, or that exceed a limit. The connection they came from cannot be used any more:
/// its framing is lost.</summary>
/// <param name="message">What was wrong. Never carries payload bytes.</param>
public sealed class RespException(string message) : Exception(message);
