using System.Buffers.Text;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis;

public sealed partial class RedisStreamStore
{
    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<StateDocument?>> GetStatesAsync(
        IReadOnlyList<StateKey> keys, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckBatch(keys);
        foreach (var key in keys)
            StreamArguments.Check(key);
        if (keys.Count == 0)
            return [];

        // Not MGET, which answers null for a key of another type as if there were no document.
        var commands = keys.Select(key => new RespCommand("GET").Add(StreamNames.State(key))).ToArray();
        var replies = await _client.ExecuteManyAsync(commands, cancellationToken).ConfigureAwait(false);
        return [.. keys.Select((key, i) => ReadState(key, replies[i]))];
    }

    /// <inheritdoc/>
    public async ValueTask<ScheduleInfo> GetScheduleAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckSchedule(stream);
        var script = LuaScript.Schedule;
        var reply = await _client.CallAsync(script, script.Call(StreamNames.Schedule(stream)), cancellationToken).ConfigureAwait(false);
        var (count, nextInMs) = (reply[0].Integer, reply[1].Integer);
        return new() { Count = count, NextIn = nextInMs < 0 ? null : TimeSpan.FromMilliseconds(nextInMs) };
    }

    // version ⏎ payload. commit.lua writes it.
    private static StateDocument? ReadState(StateKey key, RespReply reply)
    {
        if (reply.IsError)
            throw RedisErrors.ToException("GET", reply);
        if (reply.IsNull)
            return null;
        if (Utf8Parser.TryParse(reply.Span, out long version, out var digits) && reply.Span[digits..] is [(byte)'\n', ..])
            return new(version, reply.Bytes[(digits + 1)..]);
        throw new StreamException(
            StreamErrorCode.WrongType, $"The key '{StreamNames.State(key)}' holds a string that is no state document: it has no version.");
    }
}
