using Millrace.Resp;
using Millrace.Server.Commands.Keys;
using Millrace.Server.Connections;

namespace Millrace.Server.Commands.PubSub;

/// <summary>
/// Who listens to which messages, and sending them. Messages are not kept: who does not listen now does not get them. Under the store's lock.
/// </summary>
internal sealed class Subscriptions
{
    public SubscriptionTable Channels { get; } = new();

    public SubscriptionTable Patterns { get; } = new();

    /// <summary>Channels of their own, for SPUBLISH. In a cluster each belongs to one node; here they all belong to this one.</summary>
    public SubscriptionTable ShardChannels { get; } = new();

    public void Subscribe(ClientConnection client, SubscriptionTable table, byte[] name)
    {
        table.Add(client, name);
        client.IsSubscriber = true;
    }

    public void Unsubscribe(ClientConnection client, SubscriptionTable table, byte[] name)
    {
        table.Remove(client, name);
        client.IsSubscriber = CountBeside(client, Channels) + CountBeside(client, ShardChannels) > 0;
    }

    /// <summary>What a client listens to in all, of the kinds that are counted together: patterns with channels, shard channels alone.</summary>
    public int CountBeside(ClientConnection client, SubscriptionTable table) => table == ShardChannels
        ? ShardChannels.NamesOf(client).Count
        : Channels.NamesOf(client).Count + Patterns.NamesOf(client).Count;

    /// <summary>Ends all subscriptions of a client, without telling it.</summary>
    public void Forget(ClientConnection client)
    {
        if (!client.IsSubscriber)
            return;
        foreach (var table in (SubscriptionTable[])[Channels, Patterns, ShardChannels])
        {
            foreach (var name in table.NamesOf(client).ToArray())
                table.Remove(client, name);
        }

        client.IsSubscriber = false;
    }

    /// <summary>Sends a message to all who listen to its channel, or to a pattern that the channel matches.</summary>
    /// <returns>How often it was sent.</returns>
    public int Publish(in CommandCall call, ReadOnlySpan<byte> channel, ReadOnlySpan<byte> message)
    {
        var count = Send(call, Channels.ListenersOf(channel), "message"u8, null, channel, message);
        foreach (var (pattern, listeners) in Patterns.Listeners)
        {
            if (GlobPattern.IsMatch(pattern, channel))
                count += Send(call, listeners, "pmessage"u8, pattern, channel, message);
        }

        return count;
    }

    /// <summary>Sends a message to all who listen to its shard channel.</summary>
    public int PublishToShard(in CommandCall call, ReadOnlySpan<byte> channel, ReadOnlySpan<byte> message) =>
        Send(call, ShardChannels.ListenersOf(channel), "smessage"u8, null, channel, message);

    private static int Send(
        in CommandCall call,
        IReadOnlyCollection<ClientConnection> listeners,
        ReadOnlySpan<byte> kind,
        byte[]? pattern,
        ReadOnlySpan<byte> channel,
        ReadOnlySpan<byte> message)
    {
        var count = 0;
        foreach (var listener in listeners)
        {
            if (listener.IsClosing)
                continue;
            count++;
            lock (listener.OutputLock)
            {
                var push = new RespWriter(listener == call.Client ? listener.OwnPushes : listener.Output, listener.RespVersion);
                push.WritePush(pattern is null ? 3 : 4);
                push.WriteBulk(kind);
                if (pattern is not null)
                    push.WriteBulk(pattern);
                push.WriteBulk(channel);
                push.WriteBulk(message);
                call.Server.FlushLaterNeedsLock(listener);
            }
        }

        return count;
    }
}
