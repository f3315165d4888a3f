namespace Millrace.Server.Commands.Admin;

/// <summary>What a server that stands alone answers to commands about clusters, replicas and modules.</summary>
internal static class SingleNodeCommands
{
    private const string NoCluster = "ERR This instance has cluster support disabled";

    private static readonly string[] ModuleHelp =
    [
        "MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "LIST",
        "    Return a list of loaded modules.",
        "HELP",
        "    Prints this help.",
    ];

    /// <summary>All of Redis's, so that each gets the refusal and only others are unknown.</summary>
    private static readonly (string Name, int Arity)[] ClusterSubcommands =
    [
        ("addslots", -3), ("addslotsrange", -4), ("bumpepoch", 2), ("count-failure-reports", 3), ("countkeysinslot", 3), ("delslots", -3),
        ("delslotsrange", -4), ("failover", -2), ("flushslots", 2), ("forget", 3), ("getkeysinslot", 4), ("help", 2), ("info", 2), ("keyslot", 3),
        ("links", 2), ("meet", -4), ("myid", 2), ("myshardid", 2), ("nodes", 2), ("replicas", 3), ("replicate", 3), ("reset", -2),
        ("saveconfig", 2), ("set-config-epoch", 3), ("setslot", -4), ("shards", 2), ("slaves", 3), ("slots", 2),
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("asking", 1, CommandFlags.Fast, 0, 0, 0, "connection", RefuseCluster) { Group = "cluster", Since = "3.0.0" },
        new(
            "cluster",
            -2,
            CommandFlags.None,
            0,
            0,
            0,
            "slow",
            static (ref CommandCall call) => call.WrongArity(),
            [.. ClusterSubcommands.Select(static command => new CommandInfo(command.Name, command.Arity, CommandFlags.None, 0, 0, 0, "", RefuseCluster))])
        {
            Group = "cluster",
            Since = "3.0.0",
        },
        new("module", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("help", 2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WriteHelp(ModuleHelp)),
            new("list", 2, CommandFlags.Admin | CommandFlags.NoScript, 0, 0, 0, "", ListModules),
        ]) { Group = "server", Since = "4.0.0" },
        new("readonly", 1, CommandFlags.Fast, 0, 0, 0, "connection", RefuseCluster) { Group = "cluster", Since = "3.0.0" },
        new("readwrite", 1, CommandFlags.Fast, 0, 0, 0, "connection", RefuseCluster) { Group = "cluster", Since = "3.0.0" },
        new("replicaof", 3, CommandFlags.Admin | CommandFlags.NoScript, 0, 0, 0, "", Follow) { Group = "server", Since = "5.0.0" },
        new("slaveof", 3, CommandFlags.Admin | CommandFlags.NoScript, 0, 0, 0, "", Follow) { Group = "server" },
    ];

    private static void RefuseCluster(ref CommandCall call) => call.Error(NoCluster);

    private static void ListModules(ref CommandCall call) => call.Reply.WriteArray(0);

    private static void Follow(ref CommandCall call)
    {
        if (call.Is(1, "NO"u8) && call.Is(2, "ONE"u8))
            call.Ok();
        else if (!Numbers.TryParseInt64(call[2], out var port) || port is < 0 or > 65_535)
            call.Error("ERR Invalid master port");
        else
            call.Error("ERR This server cannot be a replica of another one");
    }
}
