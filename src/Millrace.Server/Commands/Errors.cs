using System.Text;
using Millrace.Server.Users;
using Millrace.Streams;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands;

/// <summary>Redis's error replies, word for word: clients match them.</summary>
internal static class Errors
{
    public const string WrongType = "WRONGTYPE Operation against a key holding the wrong kind of value";
    public const string NotAnInteger = "ERR value is not an integer or out of range";
    public const string Syntax = "ERR syntax error";
    public const string NoSuchKey = "ERR no such key";
    public const string NoAuth = "NOAUTH Authentication required.";
    public const string OutOfMemory = "OOM command not allowed when used memory > 'maxmemory'.";
    public const string ExecAbort = "EXECABORT Transaction discarded because of previous errors.";

    public const string NotInTransaction = "ERR Command not allowed inside a transaction";
    public const string WhileMonitoring = "ERR Replica can't interact with the keyspace";
    public const string QueueFull = "ERR The transaction is larger than a command may be";

    public static string ExecRefused(string refusal) =>
        $"EXECABORT Transaction discarded because of: {(refusal.StartsWith("ERR ", StringComparison.Ordinal) ? refusal[4..] : refusal)}";

    public static string WhileSubscribed(string fullName) =>
        $"ERR Can't execute '{fullName}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";

    public static string WrongArity(string fullName) => $"ERR wrong number of arguments for '{fullName}' command";

    /// <summary>An unknown command, with what was meant as its arguments if anything was, cut after 128 bytes as Redis does.</summary>
    public static string UnknownCommand(in CommandCall call)
    {
        var text = new StringBuilder("ERR unknown command '").Append(Shorten(call[0], 128)).Append('\'');
        if (call.Count > 1)
            text.Append(", with args beginning with: ");
        var room = 128;
        for (var i = 1; i < call.Count && room > 0; i++)
        {
            var argument = Shorten(call[i], room);
            text.Append('\'').Append(argument).Append("' ");
            room -= argument.Length + 3;
        }

        return text.ToString();
    }

    public static string NoPermission(in CommandCall call, AccessDenial denial) => denial switch
    {
        AccessDenial.Command => $"NOPERM User {call.Client.User.Name} has no permissions to run the '{call.Command.FullName}' command",
        AccessDenial.Key => "NOPERM No permissions to access a key",
        _ => "NOPERM No permissions to access a channel",
    };

    /// <summary>The user's rights were taken away after the command was queued.</summary>
    public static string NoPermissionAnyMore(AccessDenial denial) =>
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
        "This command is no longer allowed for the following reason: " + denial switch
        {
            AccessDenial.Command => "no permission to execute the command or subcommand",
            AccessDenial.Key => "no permission to touch the specified keys",
            _ => "no permission to access one of the channels used as arguments to the command",
        };

    public static string UnknownSubcommand(string command, ReadOnlySpan<byte> subcommand) =>
        $"ERR unknown subcommand '{Shorten(subcommand, 128)}'. Try {command.ToUpperInvariant()} HELP.";

    /// <summary>A refusal of the engine or the journal that no handler foresaw.</summary>
    public static string From(StreamException refusal) => refusal.Code switch
    {
        StreamErrorCode.WrongType => WrongType,
        StreamErrorCode.NoGroup => $"NOGROUP {refusal.Message}",
        StreamErrorCode.ReadOnly => $"MISCONF {refusal.Message}",

        // Redis has none: it ends when its journal does not take what it has applied. MISCONF would say that nothing was changed.
        StreamErrorCode.OutcomeUnknown => $"UNSYNCED {refusal.Message}",
        StreamErrorCode.OutOfMemory => OutOfMemory,
        _ => $"ERR {refusal.Message}",
    };

    /// <summary>A name as errors quote it: up to its first NUL, where Redis's end.</summary>
    public static string Quote(string name) => name.IndexOf('\0', StringComparison.Ordinal) is >= 0 and var end ? name[..end] : name;

    /// <summary>Bytes as text without loss, cut.</summary>
    public static string Shorten(ReadOnlySpan<byte> bytes, int limit) => Quote(KeyText.Decode(bytes.Length > limit ? bytes[..limit] : bytes));
}
