using Millrace.Redis.Connections;
using Millrace.Streams;

namespace Millrace.Redis.Scripts;

/// <summary>Calls scripts, and makes them known again where somebody flushed them.</summary>
internal static class ScriptCalls
{
    /// <summary>Calls a script. One round trip.</summary>
    /// <exception cref="StreamException">The script answered with an error.</exception>
    public static async ValueTask<RespReply> CallAsync(
        this RedisClient client, LuaScript script, RespCommand call, CancellationToken cancellationToken)
    {
        var reply = await client.TryExecuteAsync(call, cancellationToken).ConfigureAwait(false);
        if (IsUnknown(reply))
            reply = await client.CallAgainAsync(script, call, cancellationToken).ConfigureAwait(false);
        return reply.IsError ? throw RedisErrors.ToException(script.Name, reply) : reply;
    }

    /// <summary>Calls scripts in one round trip; errors stay inside the replies.</summary>
    /// <exception cref="StreamException">OutcomeUnknown: any of them may have run. All else: none did.</exception>
    public static async ValueTask<RespReply[]> CallManyAsync(
        this RedisClient client, IReadOnlyList<(LuaScript Script, RespCommand Call)> calls, CancellationToken cancellationToken)
    {
        var replies = await client.ExecuteManyAsync([.. calls.Select(call => call.Call)], cancellationToken).ConfigureAwait(false);
        for (var i = 0; i < replies.Length; i++)
        {
            if (!IsUnknown(replies[i]))
                continue;
            try
            {
                replies[i] = await client.CallAgainAsync(calls[i].Script, calls[i].Call, cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException exception) when (exception.Code != StreamErrorCode.OutcomeUnknown && !Array.TrueForAll(replies, IsUnknown))
            {
                throw new StreamException(
                    StreamErrorCode.OutcomeUnknown, $"Of {replies.Length} calls others may have run than this one. {exception.Message}", exception);
            }
        }

        return replies;
    }

    // SCRIPT FLUSH since the connection loaded it. The call changed nothing, so it may be sent again.
    private static bool IsUnknown(RespReply reply) => reply.ErrorCode.SequenceEqual("NOSCRIPT"u8);

    private static async ValueTask<RespReply> CallAgainAsync(
        this RedisClient client, LuaScript script, RespCommand call, CancellationToken cancellationToken) =>
        (await client.ExecuteManyAsync([script.Load(), call], cancellationToken).ConfigureAwait(false))[1];
}
