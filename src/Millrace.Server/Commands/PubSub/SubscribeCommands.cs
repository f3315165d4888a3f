using Millrace.Resp;

namespace Millrace.Server.Commands.PubSub;

/// <summary>The commands with which a client begins and ends to listen. Each name they are given has a reply of its own, which is a push.</summary>
internal static class SubscribeCommands
{
    private const CommandFlags Flags = CommandFlags.PubSub | CommandFlags.NoScript | CommandFlags.WhileSubscribed;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("psubscribe", -2, Flags, 0, 0, 0, "", static (ref CommandCall call) =>
            Subscribe(ref call, call.Server.Subscriptions.Patterns, "psubscribe"u8))
        {
            Group = "pubsub",
            Since = "2.0.0",
            Channels = ChannelArguments.AllPatterns,
        },
        new("punsubscribe", -1, Flags, 0, 0, 0, "", static (ref CommandCall call) =>
            Unsubscribe(ref call, call.Server.Subscriptions.Patterns, "punsubscribe"u8)) { Group = "pubsub", Since = "2.0.0" },
        new("ssubscribe", -2, Flags, 1, -1, 1, "", static (ref CommandCall call) =>
            Subscribe(ref call, call.Server.Subscriptions.ShardChannels, "ssubscribe"u8), FindKeys: PubSubCommands.FindNoKeys)
        {
            Group = "pubsub",
            Since = "7.0.0",
            Channels = ChannelArguments.All,
        },
        new("subscribe", -2, Flags, 0, 0, 0, "", static (ref CommandCall call) =>
            Subscribe(ref call, call.Server.Subscriptions.Channels, "subscribe"u8))
        {
            Group = "pubsub",
            Since = "2.0.0",
            Channels = ChannelArguments.All,
        },
        new("sunsubscribe", -1, Flags, 1, -1, 1, "", static (ref CommandCall call) =>
            Unsubscribe(ref call, call.Server.Subscriptions.ShardChannels, "sunsubscribe"u8), FindKeys: PubSubCommands.FindNoKeys)
        {
            Group = "pubsub",
            Since = "7.0.0",
        },
        new("unsubscribe", -1, Flags, 0, 0, 0, "", static (ref CommandCall call) =>
            Unsubscribe(ref call, call.Server.Subscriptions.Channels, "unsubscribe"u8)) { Group = "pubsub", Since = "2.0.0" },
    ];

    private static void Subscribe(ref CommandCall call, SubscriptionTable table, ReadOnlySpan<byte> word)
    {
        for (var i = 1; i < call.Count; i++)
        {
            var name = call[i].ToArray();
            call.Server.Subscriptions.Subscribe(call.Client, table, name);
            WriteChange(call, table, word, name);
        }
    }

    private static void Unsubscribe(ref CommandCall call, SubscriptionTable table, ReadOnlySpan<byte> word)
    {
        for (var i = 1; i < call.Count; i++)
            End(call, table, word, call[i].ToArray());
        if (call.Count > 1)
            return;
        var all = table.NamesOf(call.Client).ToArray();
        foreach (var name in all)
            End(call, table, word, name);
        if (all.Length == 0)
            WriteChange(call, table, word, null);
    }

    private static void End(in CommandCall call, SubscriptionTable table, ReadOnlySpan<byte> word, byte[] name)
    {
        call.Server.Subscriptions.Unsubscribe(call.Client, table, name);
        WriteChange(call, table, word, name);
    }

    /// <summary>Says what changed and how many subscriptions there are now. Pushes are shown to a client that wants no replies, too.</summary>
    private static void WriteChange(in CommandCall call, SubscriptionTable table, ReadOnlySpan<byte> word, byte[]? name)
    {
        var client = call.Client;
        var push = new RespWriter(client.IsSilent ? client.OwnPushes : client.Output, client.RespVersion);
        push.WritePush(3);
        push.WriteBulk(word);
        if (name is null)
            push.WriteNull();
        else
            push.WriteBulk(name);
        push.WriteInteger(call.Server.Subscriptions.CountBeside(client, table));
    }
}
