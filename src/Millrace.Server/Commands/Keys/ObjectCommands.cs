using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Keys;

/// <summary>The commands about how a value is kept.</summary>
internal static class ObjectCommands
{
    private static readonly string[] HelpLines =
    [
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("object", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("encoding", 3, CommandFlags.ReadOnly, 2, 2, 1, "keyspace", Encoding) { KeyRights = KeyRights.None },
            new("freq", 3, CommandFlags.ReadOnly, 2, 2, 1, "keyspace", Frequency) { KeyRights = KeyRights.None },
            new("refcount", 3, CommandFlags.ReadOnly, 2, 2, 1, "keyspace", References) { KeyRights = KeyRights.None },
            new("help", 2, CommandFlags.None, 0, 0, 0, "keyspace", static (ref CommandCall call) => call.WriteHelp(HelpLines)),
        ]) { Since = "2.2.3" },
    ];

    private static void Encoding(ref CommandCall call)
    {
        if (call.FindValue(2) is { } value)
            call.WriteText(value.Encoding);
        else
            call.Reply.WriteNull();
    }

    private static void Frequency(ref CommandCall call)
    {
        if (call.FindValue(2) is null)
            call.Reply.WriteNull();
        else
            call.Error("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between " +
                "policies at runtime LRU and LFU data will take some time to adjust.");
    }

    private static void References(ref CommandCall call)
    {
        // Redis shares the numbers below 10,000 among all keys and says so with the largest count there is.
        if (call.FindValue(2) is not { } value)
            call.Reply.WriteNull();
        else
            call.Reply.WriteInteger(value is StringValue { Number: >= 0 and < 10_000 } ? int.MaxValue : 1);
    }
}
