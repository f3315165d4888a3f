using Millrace.Server.Commands.Keys;

namespace Millrace.Server.Commands.PubSub;

/// <summary>Publishing, and <c>PUBSUB</c>: who listens to what.</summary>
internal static class PubSubCommands
{
    private const CommandFlags Publishes = CommandFlags.PubSub | CommandFlags.Fast | CommandFlags.MayReplicate;

    private static readonly string[] HelpLines =
    [
        "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("publish", 3, Publishes, 0, 0, 0, "", static (ref CommandCall call) =>
            call.Reply.WriteInteger(call.Server.Subscriptions.Publish(call, call[1], call[2])))
        {
            Group = "pubsub",
            Since = "2.0.0",
            Channels = ChannelArguments.First,
        },
        new("pubsub", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("channels", -2, CommandFlags.PubSub, 0, 0, 0, "", static (ref CommandCall call) =>
                WriteNames(ref call, call.Server.Subscriptions.Channels)) { Since = "2.8.0" },
            new("help", 2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WriteHelp(HelpLines)) { Since = "6.2.0" },
            new("numpat", 2, CommandFlags.PubSub, 0, 0, 0, "", static (ref CommandCall call) =>
                call.Reply.WriteInteger(call.Server.Subscriptions.Patterns.Listeners.Count)) { Since = "2.8.0" },
            new("numsub", -2, CommandFlags.PubSub, 0, 0, 0, "", static (ref CommandCall call) =>
                WriteCounts(ref call, call.Server.Subscriptions.Channels)) { Since = "2.8.0" },
            new("shardchannels", -2, CommandFlags.PubSub, 0, 0, 0, "", static (ref CommandCall call) =>
                WriteNames(ref call, call.Server.Subscriptions.ShardChannels)) { Since = "7.0.0" },
            new("shardnumsub", -2, CommandFlags.PubSub, 0, 0, 0, "", static (ref CommandCall call) =>
                WriteCounts(ref call, call.Server.Subscriptions.ShardChannels)) { Since = "7.0.0" },
        ]) { Group = "pubsub", Since = "2.8.0" },
        new("spublish", 3, Publishes, 1, 1, 1, "", static (ref CommandCall call) =>
            call.Reply.WriteInteger(call.Server.Subscriptions.PublishToShard(call, call[1], call[2])), FindKeys: FindNoKeys)
        {
            Group = "pubsub",
            Since = "7.0.0",
            Channels = ChannelArguments.First,
        },
    ];

    /// <summary>Shard channels stand where keys do, so that a cluster's clients find the node, but are none.</summary>
    public static void FindNoKeys(ref CommandCall call, List<int> keys)
    {
    }

    private static void WriteNames(ref CommandCall call, SubscriptionTable table)
    {
        if (call.Count > 3)
        {
            call.Error($"ERR unknown subcommand or wrong number of arguments for '{call.Text(1)}'. Try PUBSUB HELP.");
            return;
        }

        var names = table.Listeners.Keys.ToList();
        if (call.Count == 3)
        {
            var pattern = call[2].ToArray();
            names.RemoveAll(name => !GlobPattern.IsMatch(pattern, name));
        }

        call.Reply.WriteArray(names.Count);
        foreach (var name in names)
            call.Reply.WriteBulk(name);
    }

    private static void WriteCounts(ref CommandCall call, SubscriptionTable table)
    {
        call.Reply.WriteArray(2 * (call.Count - 2));
        for (var i = 2; i < call.Count; i++)
        {
            call.Reply.WriteBulk(call[i]);
            call.Reply.WriteInteger(table.ListenersOf(call[i]).Count);
        }
    }
}
