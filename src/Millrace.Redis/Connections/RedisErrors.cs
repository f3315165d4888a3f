using System.Text;
using Millrace.Streams;

namespace Millrace.Redis.Connections;

/// <summary>The only place that turns Redis's errors into ours: by the first word of the error, which is its code,
/// never by the text.</summary>
internal static class RedisErrors
{
    // Enough for every message Redis writes itself; what scripts raise may be longer.
    private const int MaxMessageChars = 500;

    /// <summary>Which of our codes an error is.</summary>
    /// <param name="error">The whole error, or only its first word.</param>
    public static StreamErrorCode Map(ReadOnlySpan<byte> error)
    {
        var end = error.IndexOf((byte)' ');
        return Encoding.UTF8.GetString(end < 0 ? error : error[..end]) switch
        {
            "WRONGTYPE" => StreamErrorCode.WrongType,
            "NOGROUP" => StreamErrorCode.NoGroup,
            "CROSSSLOT" => StreamErrorCode.CrossSlot,
            "NOAUTH" or "WRONGPASS" => StreamErrorCode.AuthenticationFailed,
            "NOPERM" or "DENIED" => StreamErrorCode.PermissionDenied,
            "OOM" => StreamErrorCode.OutOfMemory,

            // MISCONF: the disk failed. NOREPLICAS: too few replicas are in reach.
            "READONLY" or "MISCONF" or "NOREPLICAS" => StreamErrorCode.ReadOnly,

            // Our own server's, in place of a reply: it ran the command, and its disk did not take what that changed.
            "UNSYNCED" => StreamErrorCode.OutcomeUnknown,

            // Refused for now, by a server that is up. UNBLOCKED: the stream was deleted or the server became a replica while a
            // read waited; the same read sent again tells which.
            "LOADING" or "BUSY" or "MASTERDOWN" or "CLUSTERDOWN" or "TRYAGAIN" or "UNBLOCKED" => StreamErrorCode.Busy,

            // Never better later: ERR, BUSYGROUP, BUSYKEY, NOSCRIPT, NOPROTO, EXECABORT, UNKILLABLE, NOTBUSY, and MOVED and ASK of a
            // cluster. Who sends the command knows what they mean there.
            _ => StreamErrorCode.ServerError,
        };
    }

    /// <summary>Makes the exception for an error reply, with the text of the server.</summary>
    /// <param name="commandName">The command that was refused.</param>
    /// <param name="error">The reply.</param>
    public static StreamException ToException(string commandName, RespReply error) =>
        new(Map(error.Span), $"Redis refused {commandName}: {Printable(error.Text)}");

    /// <summary>
    /// Makes the exception for an error reply to a command that carried a secret. Redis quotes the arguments of commands it does not
    /// know, so only the code is shown.
    /// </summary>
    /// <param name="what">What was refused.</param>
    /// <param name="error">The reply.</param>
    public static StreamException ToExceptionWithoutText(string what, RespReply error) =>
        new(Map(error.Span), $"Redis refused {what}: {Printable(Encoding.UTF8.GetString(error.ErrorCode))}.");

    private static string Printable(string text) =>
        new([.. text.Take(MaxMessageChars).Select(static c => char.IsControl(c) ? ' ' : c)]);
}
