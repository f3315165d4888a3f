using Millrace.Redis.Commands;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis;

public sealed partial class RedisStreamStore
{
    /// <inheritdoc/>
    public async ValueTask<bool> CreateGroupAsync(
        string stream, string group, GroupStart start, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        var command = new RespCommand("XGROUP").Add("CREATE"u8).Add(stream).Add(group).AddStart(start).Add("MKSTREAM"u8);
        var reply = await _client.TryExecuteAsync(command, cancellationToken).ConfigureAwait(false);
        if (reply.ErrorCode.SequenceEqual("BUSYGROUP"u8))
            return false;
        if (!reply.IsError)
            return true;

        // Redis refuses before it looks: a group that is there needs no memory, and who comes back must be able to consume.
        var refusal = RedisErrors.ToException("XGROUP CREATE", reply);
        if (refusal.Code != StreamErrorCode.OutOfMemory)
            throw refusal;
        var groups = await GetGroupsAsync(stream, cancellationToken).ConfigureAwait(false);
        return groups.Any(found => found.Name == group) ? false : throw refusal;
    }

    /// <inheritdoc/>
    public async ValueTask SetGroupAsync(string stream, string group, GroupStart start, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        var id = start.IsNow ? "$" : start.LastDelivered.ToString();
        await OnGroupAsync(stream, group, ["XGROUP", "SETID", stream, group, id], cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<bool> DestroyGroupAsync(string stream, string group, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        var reply = await OnStreamAsync(["XGROUP", "DESTROY", stream, group], cancellationToken).ConfigureAwait(false);
        return !reply.IsNull && reply.Integer == 1;
    }

    /// <inheritdoc/>
    public async ValueTask<bool> CreateConsumerAsync(
        string stream, string group, string consumer, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckName(consumer);
        return (await OnGroupAsync(stream, group, ["XGROUP", "CREATECONSUMER", stream, group, consumer], cancellationToken)
            .ConfigureAwait(false)).Integer == 1;
    }

    /// <inheritdoc/>
    public async ValueTask<long> DeleteConsumerAsync(
        string stream, string group, string consumer, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckName(consumer);
        return (await OnGroupAsync(stream, group, ["XGROUP", "DELCONSUMER", stream, group, consumer], cancellationToken)
            .ConfigureAwait(false)).Integer;
    }

    /// <inheritdoc/>
    public async ValueTask<StreamInfo?> GetStreamInfoAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        var reply = await OnStreamAsync(["XINFO", "STREAM", stream], cancellationToken).ConfigureAwait(false);
        return reply.IsNull ? null : InfoReader.ReadStream(reply);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<GroupInfo>> GetGroupsAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        return InfoReader.ReadGroups(await OnStreamAsync(["XINFO", "GROUPS", stream], cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<ConsumerInfo>> GetConsumersAsync(
        string stream, string group, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        return InfoReader.ReadConsumers(
            await OnGroupAsync(stream, group, ["XINFO", "CONSUMERS", stream, group], cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Runs a command on a stream; the reply is null when there is no such stream.</summary>
    /// <param name="command">The command; its third word is the stream.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    private ValueTask<RespReply> OnStreamAsync(IReadOnlyList<string> command, CancellationToken cancellationToken)
    {
        var call = LuaScript.OnStream.Call(command[2]);
        foreach (var argument in command)
            call.Add(argument);
        return _client.CallAsync(LuaScript.OnStream, call, cancellationToken);
    }

    private async ValueTask<RespReply> OnGroupAsync(
        string stream, string group, IReadOnlyList<string> command, CancellationToken cancellationToken)
    {
        var reply = await OnStreamAsync(command, cancellationToken).ConfigureAwait(false);
        return reply.IsNull
            ? throw new StreamException(StreamErrorCode.NoGroup, $"There is no group '{group}': the stream '{stream}' does not exist.")
            : reply;
    }
}
