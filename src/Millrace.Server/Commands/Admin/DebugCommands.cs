using System.Buffers.Text;
using Millrace.Server.Connections;
using Millrace.Streams.Engine.Records;

namespace Millrace.Server.Commands.Admin;

/// <summary><c>DEBUG</c>, as far as it does no harm.</summary>
internal static class DebugCommands
{
    private static readonly string[] HelpLines =
    [
        "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "OBJECT <key>",
        "    Show low level info about <key> and its value.",
        "SLEEP <seconds>",
        "    Let this client wait for <seconds>. Decimals allowed. Other clients are served meanwhile.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("debug", -2, CommandFlags.Admin | CommandFlags.NoScript, 0, 0, 0, "", Run) { Group = "server" },
    ];

    private static void Run(ref CommandCall call)
    {
        if (call.Count == 3 && call.Is(1, "SLEEP"u8))
            Sleep(ref call);
        else if (call.Count == 3 && call.Is(1, "OBJECT"u8))
            Describe(ref call);
        else if (call.Count == 2 && call.Is(1, "HELP"u8))
            call.WriteHelp(HelpLines);
        else
            call.Error($"ERR unknown subcommand or wrong number of arguments for '{call.Text(1)}'. Try DEBUG HELP.");
    }

    private static void Describe(ref CommandCall call)
    {
        if (call.FindValue(2) is not { } value)
        {
            call.Error(Errors.NoSuchKey);
            return;
        }

        var serialized = ValueRecord.Write(value, call.Server.Options.MaxBulkBytes).Length;
        call.Reply.WriteSimple($"Value at:slot{value.Slot} refcount:1 encoding:{value.Encoding} serializedlength:{serialized} lru:0 lru_seconds_idle:0");
    }

    /// <summary>Redis sleeps with all its clients. Here only the one who asks waits, and in EXEC nobody does.</summary>
    private static void Sleep(ref CommandCall call)
    {
        // What is no number is no time at all, as in Redis.
        var isNumber = Utf8Parser.TryParse(call[2], out double seconds, out var used) && used == call[2].Length;
        if (!isNumber || !(seconds > 0) || !call.MayBlock)
            call.Ok();
        else
            call.Block(
                new Pause(call.Client, call.ToStored(), static (ref CommandCall call) => call.Ok(), mayUnblock: false),
                TimeSpan.FromSeconds(Math.Min(seconds, uint.MaxValue / 1000)));
    }
}
