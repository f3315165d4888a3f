namespace Millrace.Server.Commands.Connection;

/// <summary>The commands about the connection itself.</summary>
internal static class ConnectionCommands
{
    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("ping", -1, CommandFlags.Fast, 0, 0, 0, "connection", Ping) { Group = "connection" },
        new("echo", 2, CommandFlags.Fast, 0, 0, 0, "connection", Echo) { Group = "connection" },
    ];

    private static void Ping(ref CommandCall call)
    {
        if (call.Count > 2)
            call.WrongArity();
        else if (call.Count == 2)
            call.Reply.WriteBulk(call[1]);
        else
            call.Client.Output.WriteRaw("+PONG\r\n"u8);
    }

    private static void Echo(ref CommandCall call) => call.Reply.WriteBulk(call[1]);
}
