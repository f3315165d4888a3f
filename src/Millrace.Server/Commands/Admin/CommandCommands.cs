using System.Text;

namespace Millrace.Server.Commands.Admin;

/// <summary><c>COMMAND</c>: what there is, which is how clients find out what the server can do.</summary>
internal static class CommandCommands
{
    private static readonly (CommandFlags Flag, string Name)[] FlagNames =
    [
        (CommandFlags.Write, "write"), (CommandFlags.ReadOnly, "readonly"), (CommandFlags.DenyOom, "denyoom"), (CommandFlags.Admin, "admin"),
        (CommandFlags.PubSub, "pubsub"), (CommandFlags.NoScript, "noscript"), (CommandFlags.Blocking, "blocking"),
        (CommandFlags.Fast, "fast"), (CommandFlags.NoAuth, "no_auth"), (CommandFlags.MovableKeys, "movablekeys"),
        (CommandFlags.NoMulti, "no_multi"),
    ];

    private static readonly string[] HelpLines =
    [
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all commands.",
        "COUNT",
        "    Return the total number of commands in this server.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple commands, or about all.",
        "GETKEYS <full-command>",
        "    Return the keys from a full command.",
        "INFO [<command-name> ...]",
        "    Return details about multiple commands, or about all.",
        "LIST",
        "    Return a list of all commands in this server.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("command", -1, CommandFlags.None, 0, 0, 0, "connection", static (ref CommandCall call) => WriteAll(ref call),
        [
            new("count", 2, CommandFlags.None, 0, 0, 0, "connection", Count),
            new("docs", -2, CommandFlags.None, 0, 0, 0, "connection", Docs),
            new("getkeys", -4, CommandFlags.None, 0, 0, 0, "connection", GetKeys),
            new("help", 2, CommandFlags.None, 0, 0, 0, "connection", static (ref CommandCall call) => call.WriteHelp(HelpLines)),
            new("info", -2, CommandFlags.None, 0, 0, 0, "connection", Info),
            new("list", 2, CommandFlags.None, 0, 0, 0, "connection", List),
        ]) { Group = "server", Since = "2.8.13" },
    ];

    private static void Count(ref CommandCall call) => call.Reply.WriteInteger(call.Server.Dispatcher.Table.All.Count);

    private static void List(ref CommandCall call)
    {
        var all = call.Server.Dispatcher.Table.All;
        call.Reply.WriteArray(all.Count);
        foreach (var command in all)
            call.Reply.WriteBulk(command.Name);
    }

    private static void Info(ref CommandCall call)
    {
        if (call.Count == 2)
        {
            WriteAll(ref call);
            return;
        }

        call.Reply.WriteArray(call.Count - 2);
        for (var i = 2; i < call.Count; i++)
        {
            if (Find(ref call, i) is { } command)
                WriteInfo(ref call, command);
            else
                call.Reply.WriteNull();
        }
    }

    private static CommandInfo? Find(ref CommandCall call, int index) =>
        call.Server.Dispatcher.Table.TryFind(call.Text(index).ToLowerInvariant(), out var command) ? command : null;

    private static void WriteAll(ref CommandCall call)
    {
        var all = call.Server.Dispatcher.Table.All;
        call.Reply.WriteArray(all.Count);
        foreach (var command in all)
            WriteInfo(ref call, command);
    }

    private static void WriteInfo(ref CommandCall call, CommandInfo command)
    {
        var flags = Array.FindAll(FlagNames, flag => command.Has(flag.Flag));
        call.Reply.WriteArray(10);
        call.Reply.WriteBulk(command.FullName);
        call.Reply.WriteInteger(command.Arity);
        call.Reply.WriteSet(flags.Length);
        foreach (var (_, name) in flags)
            call.Reply.WriteSimple(name);
        call.Reply.WriteInteger(command.FirstKey);
        call.Reply.WriteInteger(command.LastKey);
        call.Reply.WriteInteger(command.KeyStep);
        call.Reply.WriteSet(command.AllCategories.Count);
        foreach (var category in command.AllCategories)
            call.Reply.WriteSimple($"@{category}");
        call.Reply.WriteArray(0); // Tips.
        call.Reply.WriteArray(0); // Key specifications: clients fall back on the positions above.
        call.Reply.WriteArray(command.Subcommands?.Count ?? 0);
        foreach (var subcommand in command.Subcommands ?? [])
            WriteInfo(ref call, subcommand);
    }

    private static void Docs(ref CommandCall call)
    {
        var commands = new List<CommandInfo>();
        for (var i = 2; i < call.Count; i++)
        {
            if (Find(ref call, i) is { } command)
                commands.Add(command);
        }

        if (call.Count == 2)
            commands.AddRange(call.Server.Dispatcher.Table.All);
        WriteDocs(ref call, commands);
    }

    private static void WriteDocs(ref CommandCall call, IReadOnlyList<CommandInfo> commands)
    {
        call.Reply.WriteMap(commands.Count);
        foreach (var command in commands)
        {
            call.Reply.WriteBulk(command.FullName);
            call.Reply.WriteMap(command.Subcommands is null ? 3 : 4);
            call.Reply.WriteBulk("summary"u8);
            call.Reply.WriteBulk(command.Summary);
            call.Reply.WriteBulk("since"u8);
            call.Reply.WriteBulk(command.Since);
            call.Reply.WriteBulk("group"u8);
            call.Reply.WriteBulk(command.Group);
            if (command.Subcommands is not { } subcommands)
                continue;
            call.Reply.WriteBulk("subcommands"u8);
            WriteDocs(ref call, subcommands);
        }
    }

    private static void GetKeys(ref CommandCall call)
    {
        if (call.Server.Dispatcher.Table.Find(call[2]) is not { } command)
        {
            call.Error("ERR Invalid command specified");
            return;
        }

        if (command.Subcommands is { } subcommands && call.Count > 3)
        {
            var name = call.Text(3).ToLowerInvariant();
            command = subcommands.FirstOrDefault(subcommand => subcommand.Name == name) ?? command;
        }

        var asked = call.Skip(2, command);
        var keys = new List<int>();
        if (!command.FitsArity(asked.Count))
        {
            call.Error("ERR Invalid number of arguments specified for command");
            return;
        }

        asked.FindKeys(keys);
        if (keys.Count == 0)
        {
            call.Error("ERR The command has no key arguments");
            return;
        }

        call.Reply.WriteArray(keys.Count);
        foreach (var key in keys)
            call.Reply.WriteBulk(asked[key]);
    }
}
