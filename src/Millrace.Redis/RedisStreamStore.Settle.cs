using Millrace.Redis.Commands;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis;

public sealed partial class RedisStreamStore
{
    /// <inheritdoc/>
    public async ValueTask<long> AckAsync(
        string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckBatch(ids);
        if (ids.Count == 0)
            return 0;

        var command = new RespCommand("XACK", 64 + (ids.Count * 28)).Add(stream).Add(group).AddIds(ids);
        return (await _client.ExecuteAsync(command, cancellationToken).ConfigureAwait(false)).Integer;
    }

    /// <inheritdoc/>
    public async ValueTask<long> AckAndDeleteAsync(
        string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckBatch(ids);
        if (ids.Count == 0)
            return 0;

        var script = LuaScript.AckAndDelete;
        var call = script.Call(stream).Add(group).AddIds(ids);
        return (await _client.CallAsync(script, call, cancellationToken).ConfigureAwait(false)).Integer;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<EntryId>> ExtendAsync(
        string stream, string group, string consumer, IReadOnlyList<HeldEntry> held, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckName(consumer);
        StreamArguments.CheckBatch(held);
        if (held.Count == 0)
            return [];

        var script = LuaScript.Extend;
        var call = script.Call(stream).Add(group).Add(consumer);
        foreach (var entry in held)
            call.AddFormatted(entry.Id).Add(entry.DeliveryCount);
        return EntryReader.ReadIds(await _client.CallAsync(script, call, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc/>
    public async ValueTask<ClaimResult> ClaimAsync(
        string stream, string group, ClaimRequest claim, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckClaim(stream, group, claim);

        var script = LuaScript.Claim;
        var call = script.Call(stream).Add(group).Add(claim.Consumer).Add(StreamCommands.Milliseconds(claim.MinIdleTime)).AddIds(claim.Ids);
        return EntryReader.ReadClaim(await _client.CallAsync(script, call, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<PendingEntry>> PendingAsync(
        string stream, string group, PendingQuery query, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckPending(stream, group, query);

        var reply = await _client.ExecuteAsync(StreamCommands.XPending(stream, group, query), cancellationToken).ConfigureAwait(false);
        var entries = new List<PendingEntry>(reply.Count);
        foreach (var entry in reply)
        {
            var idle = TimeSpan.FromMilliseconds(Math.Max(0, entry[2].Integer));
            entries.Add(new(EntryReader.ReadId(entry[0]), entry[1].Text, idle, entry[3].Integer));
        }

        return entries;
    }

    /// <inheritdoc/>
    public async ValueTask<PendingSummary> PendingSummaryAsync(string stream, string group, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        var reply = await _client.ExecuteAsync(new RespCommand("XPENDING").Add(stream).Add(group), cancellationToken).ConfigureAwait(false);
        if (reply[0].Integer == 0)
            return PendingSummary.None;

        // Names that others gave may be any bytes, and read as the same text.
        var countByConsumer = new Dictionary<string, long>();
        foreach (var consumer in reply[3])
        {
            var name = consumer[0].Text;
            countByConsumer[name] = countByConsumer.GetValueOrDefault(name) + consumer[1].Integer;
        }

        return new()
        {
            Count = reply[0].Integer,
            MinId = EntryReader.ReadId(reply[1]),
            MaxId = EntryReader.ReadId(reply[2]),
            CountByConsumer = countByConsumer,
        };
    }
}
