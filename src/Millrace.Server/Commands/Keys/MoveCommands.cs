using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Keys;

/// <summary>The commands that give a value another key or another database.</summary>
internal static class MoveCommands
{
    private const string SameObject = "ERR source and destination objects are the same";
    private const string NoSuchDatabase = "ERR DB index is out of range";

    private const CommandFlags WriteFast = CommandFlags.Write | CommandFlags.Fast;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("rename", 3, CommandFlags.Write, 1, 2, 1, "keyspace", Rename) { FindKeyRights = MoveRights },
        new("renamenx", 3, WriteFast, 1, 2, 1, "keyspace", RenameIfFree) { FindKeyRights = MoveRights },
        new("copy", -3, CommandFlags.Write | CommandFlags.DenyOom, 1, 2, 1, "keyspace", Copy)
        {
            Since = "6.2.0", FindKeyRights = static (in CommandCall _, int index) => index == 1 ? KeyRights.Read : KeyRights.Write,
        },
        new("move", 3, WriteFast, 1, 1, 1, "keyspace", Move) { KeyRights = KeyRights.ReadWrite },
        new("swapdb", 3, WriteFast, 0, 0, 0, "keyspace dangerous", Swap) { Since = "4.0.0", Group = "server" },
    ];

    /// <summary>The first key is read and taken away, the second is written.</summary>
    private static KeyRights MoveRights(in CommandCall call, int index) => index == 1 ? KeyRights.ReadWrite : KeyRights.Write;

    private static void Rename(ref CommandCall call)
    {
        if (call.FindValue(1) is not { } value)
        {
            call.Error(Errors.NoSuchKey);
            return;
        }

        call.Apply<MoveKey, bool>(new(value.Key, call.Engine.Database, call.Text(2)));
        call.Ok();
    }

    private static void RenameIfFree(ref CommandCall call)
    {
        if (call.FindValue(1) is not { } value)
        {
            call.Error(Errors.NoSuchKey);
            return;
        }

        var isMoved = call.FindValue(2) is null && call.Apply<MoveKey, bool>(new(value.Key, call.Engine.Database, call.Text(2)));
        call.Reply.WriteInteger(isMoved ? 1 : 0);
    }

    private static void Copy(ref CommandCall call)
    {
        var target = call.Engine.Database;
        var replaces = false;
        for (var i = 3; i < call.Count; i++)
        {
            if (call.Is(i, "REPLACE"u8))
            {
                replaces = true;
            }
            else if (call.Is(i, "DB"u8) && i + 1 < call.Count)
            {
                if (!TryDatabase(ref call, ++i, out target))
                    return;
            }
            else
            {
                call.Error(Errors.Syntax);
                return;
            }
        }

        if (target == call.Engine.Database && call[1].SequenceEqual(call[2]))
        {
            call.Error(SameObject);
            return;
        }

        var key = call.Text(2);
        var isCopied = call.FindValue(1) is { } value && (replaces || !call.Engine.Databases[target].ContainsKey(key)) &&
            call.Apply<CopyKey, bool>(new(value.Key, target, key));
        call.Reply.WriteInteger(isCopied ? 1 : 0);
    }

    private static void Move(ref CommandCall call)
    {
        if (!TryDatabase(ref call, 2, out var target))
            return;
        if (target == call.Engine.Database)
        {
            call.Error(SameObject);
            return;
        }

        var isMoved = call.FindValue(1) is { } value && !call.Engine.Databases[target].ContainsKey(value.Key) &&
            call.Apply<MoveKey, bool>(new(value.Key, target, value.Key));
        call.Reply.WriteInteger(isMoved ? 1 : 0);
    }

    private static void Swap(ref CommandCall call)
    {
        if (!call.TryInteger(1, out var first, "ERR invalid first DB index") || !call.TryInteger(2, out var second, "ERR invalid second DB index"))
            return;
        if (first is < 0 or >= StreamEngine.DatabaseCount || second is < 0 or >= StreamEngine.DatabaseCount)
        {
            call.Error(NoSuchDatabase);
            return;
        }

        call.Apply<SwapDatabases, bool>(new((int)first, (int)second));
        call.Ok();
    }

    private static bool TryDatabase(ref CommandCall call, int index, out int database)
    {
        database = 0;
        if (!call.TryInteger(index, out var number))
            return false;
        var error = number is < int.MinValue or > int.MaxValue
            ? $"ERR value is out of range, value must between {int.MinValue} and {int.MaxValue}"
            : number is < 0 or >= StreamEngine.DatabaseCount ? NoSuchDatabase : null;
        database = (int)number;
        if (error is not null)
            call.Error(error);
        return error is null;
    }
}
