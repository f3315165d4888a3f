namespace Millrace.Server.Commands.Connection;

/// <summary>The commands about the connection itself.</summary>
internal static class ConnectionCommands
{
    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("ping", -1, CommandFlags.Fast | CommandFlags.WhileSubscribed, 0, 0, 0, "connection", Ping) { Group = "connection" },
        new("echo", 2, CommandFlags.Fast, 0, 0, 0, "connection", Echo) { Group = "connection" },
    ];

    private static void Ping(ref CommandCall call)
    {
        if (call.Count > 2)
            call.WrongArity();
        else if (call.Client.IsSubscriber && !call.IsResp3)
            WritePong(ref call);
        else if (call.Count == 2)
            call.Reply.WriteBulk(call[1]);
        else
            call.Client.Output.WriteRaw("+PONG\r\n"u8);
    }

    /// <summary>In the form of a message: that is all a subscribed client of RESP2 reads.</summary>
    private static void WritePong(ref CommandCall call)
    {
        call.Reply.WriteArray(2);
        call.Reply.WriteBulk("pong"u8);
        call.Reply.WriteBulk(call.Count == 2 ? call[1] : default);
    }

    private static void Echo(ref CommandCall call) => call.Reply.WriteBulk(call[1]);
}
