namespace Millrace.Server.Commands.Admin;

/// <summary><c>SLOWLOG</c>: the latest commands that took long.</summary>
internal static class SlowLogCommands
{
    private static readonly string[] HelpLines =
    [
        "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("slowlog", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("get", -2, CommandFlags.Admin, 0, 0, 0, "", Get),
            new("help", 2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WriteHelp(HelpLines)),
            new("len", 2, CommandFlags.Admin, 0, 0, 0, "", static (ref CommandCall call) =>
                call.Reply.WriteInteger(call.Server.Statistics.SlowLog.Commands.Count)),
            new("reset", 2, CommandFlags.Admin, 0, 0, 0, "", Reset),
        ]) { Group = "server", Since = "2.2.12" },
    ];

    private static void Get(ref CommandCall call)
    {
        var commands = call.Server.Statistics.SlowLog.Commands;
        long count = 10;
        if (call.Count > 3)
        {
            call.Error($"ERR unknown subcommand or wrong number of arguments for '{call.Text(1)}'. Try SLOWLOG HELP.");
            return;
        }

        if (call.Count == 3 && (!Numbers.TryParseInt64(call[2], out count) || count < -1))
        {
            call.Error("ERR count should be greater than or equal to -1");
            return;
        }

        var shown = count < 0 ? commands.Count : (int)Math.Min(count, commands.Count);
        call.Reply.WriteArray(shown);
        foreach (var command in commands.Take(shown))
        {
            call.Reply.WriteArray(6);
            call.Reply.WriteInteger(command.Id);
            call.Reply.WriteInteger(command.Seconds);
            call.Reply.WriteInteger(command.Microseconds);
            call.Reply.WriteArray(command.Arguments.Length);
            foreach (var argument in command.Arguments)
                call.WriteText(argument);
            call.WriteText(command.Address);
            call.WriteText(command.ClientName);
        }
    }

    private static void Reset(ref CommandCall call)
    {
        call.Server.Statistics.SlowLog.Clear();
        call.Ok();
    }
}
