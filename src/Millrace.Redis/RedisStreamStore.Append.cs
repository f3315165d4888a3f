using Millrace.Redis.Commands;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis;

public sealed partial class RedisStreamStore
{
    /// <inheritdoc/>
    public async ValueTask<EntryId> AppendAsync(
        string stream, EntryFields fields, StreamTrim? trim = null, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        StreamArguments.CheckFields(fields);
        try
        {
            var reply = await _client.ExecuteAsync(StreamCommands.XAdd(stream, fields, trim), cancellationToken).ConfigureAwait(false);
            return EntryReader.ReadId(reply);
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.ServerError)
        {
            throw await ExplainAppendErrorAsync(stream, exception, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<EntryId>> AppendManyAsync(
        string stream, IReadOnlyList<EntryFields> entries, StreamTrim? trim = null, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        StreamArguments.CheckBatch(entries);
        foreach (var fields in entries)
            StreamArguments.CheckFields(fields, nameof(entries));
        if (entries.Count == 0)
            return [];

        using var buffer = RespBuffer.Rent(StreamCommands.XAddManyBytes(stream, entries));
        var commands = StreamCommands.XAddMany(stream, entries, trim, buffer);
        var replies = await _client.ExecuteManyAsync(commands, cancellationToken).ConfigureAwait(false);
        foreach (var reply in replies)
        {
            if (!reply.IsError)
                continue;
            var refusal = RedisErrors.ToException("XADD", reply);
            throw await ExplainAppendErrorAsync(stream, refusal, cancellationToken).ConfigureAwait(false);
        }

        return Array.ConvertAll(replies, EntryReader.ReadId);
    }

    // Redis has no code of its own for a stream whose IDs are used up, so we look at the last one rather than at the text.
    private async ValueTask<StreamException> ExplainAppendErrorAsync(
        string stream, StreamException exception, CancellationToken cancellationToken)
    {
        if (exception.Code != StreamErrorCode.ServerError)
            return exception;

        var info = await OnStreamAsync(["XINFO", "STREAM", stream], cancellationToken).ConfigureAwait(false);
        return info.TryGet("last-generated-id"u8, out var lastId) && EntryReader.ReadId(lastId) == EntryId.Max
            ? new(StreamErrorCode.IdNotIncreasing, exception.Message, exception)
            : exception;
    }

    /// <inheritdoc/>
    public async ValueTask<long> DeleteAsync(string stream, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        StreamArguments.CheckBatch(ids);
        if (ids.Count == 0)
            return 0;

        var command = new RespCommand("XDEL", 64 + (ids.Count * 28)).Add(stream).AddIds(ids);
        return (await _client.ExecuteAsync(command, cancellationToken).ConfigureAwait(false)).Integer;
    }

    /// <inheritdoc/>
    public async ValueTask<long> TrimAsync(string stream, StreamTrim trim, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        ArgumentNullException.ThrowIfNull(trim);
        return (await _client.ExecuteAsync(StreamCommands.XTrim(stream, trim), cancellationToken).ConfigureAwait(false)).Integer;
    }

    /// <inheritdoc/>
    public async ValueTask<bool> DeleteStreamAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        var script = LuaScript.DeleteStream;
        return (await _client.CallAsync(script, script.Call(stream), cancellationToken).ConfigureAwait(false)).Integer == 1;
    }
}
