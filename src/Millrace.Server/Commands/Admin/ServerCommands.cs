namespace Millrace.Server.Commands.Admin;

/// <summary>What the server says about itself: <c>TIME</c>, <c>ROLE</c>, <c>INFO</c>.</summary>
internal static class ServerCommands
{
    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("info", -1, CommandFlags.None, 0, 0, 0, "dangerous", ServerInfo.Run) { Group = "server" },
        new("role", 1, CommandFlags.Fast | CommandFlags.NoScript, 0, 0, 0, "admin dangerous", Role) { Group = "server", Since = "2.8.12" },
        new("time", 1, CommandFlags.Fast, 0, 0, 0, "", Time) { Group = "server", Since = "2.6.0" },
    ];

    private static void Role(ref CommandCall call)
    {
        call.Reply.WriteArray(3);
        call.Reply.WriteBulk("master"u8);
        call.Reply.WriteInteger(0);
        call.Reply.WriteArray(0);
    }

    private static void Time(ref CommandCall call)
    {
        var microseconds = (call.Store.Time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        call.Reply.WriteArray(2);
        call.Reply.WriteBulk(microseconds / 1_000_000);
        call.Reply.WriteBulk(microseconds % 1_000_000);
    }
}
