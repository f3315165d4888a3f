using System.Globalization;
using System.Text;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.StandIns;

/// <summary>The commands on strings that applications use beside their streams. SET is in <c>SetCommand.cs</c>.</summary>
internal static class StringCommands
{
    private const CommandFlags ReadFast = CommandFlags.ReadOnly | CommandFlags.Fast;
    private const CommandFlags WriteFast = CommandFlags.Write | CommandFlags.Fast;
    private const CommandFlags GrowFast = WriteFast | CommandFlags.DenyOom;

    /// <summary>Redis's limit of a string (<c>proto-max-bulk-len</c> there).</summary>
    private const int MaxBytes = 512 * 1024 * 1024;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("set", -3, CommandFlags.Write | CommandFlags.DenyOom, 1, 1, 1, "string", SetCommand.Run) { Group = "string", FindKeyRights = SetCommand.Rights },
        new("get", 2, ReadFast, 1, 1, 1, "string", Get) { Group = "string" },
        new("setnx", 3, GrowFast, 1, 1, 1, "string", SetIfFree) { Group = "string" },
        new("getdel", 2, WriteFast, 1, 1, 1, "string", GetAndDelete) { Group = "string", Since = "6.2.0", KeyRights = KeyRights.ReadWrite },
        new("incr", 2, GrowFast, 1, 1, 1, "string", static (ref CommandCall call) => Add(ref call, 1)) { Group = "string", KeyRights = KeyRights.ReadWrite },
        new("decr", 2, GrowFast, 1, 1, 1, "string", static (ref CommandCall call) => Add(ref call, -1)) { Group = "string", KeyRights = KeyRights.ReadWrite },
        new("incrby", 3, GrowFast, 1, 1, 1, "string", IncrementBy) { Group = "string", KeyRights = KeyRights.ReadWrite },
        new("decrby", 3, GrowFast, 1, 1, 1, "string", DecrementBy) { Group = "string", KeyRights = KeyRights.ReadWrite },
        new("strlen", 2, ReadFast, 1, 1, 1, "string", Length) { Group = "string", Since = "2.2.0", KeyRights = KeyRights.None },
        new("append", 3, GrowFast, 1, 1, 1, "string", Append) { Group = "string", Since = "2.0.0" },
    ];

    /// <summary>Writes a string, or null where there is none.</summary>
    public static void WriteValue(ref CommandCall call, StringValue? value)
    {
        if (value is null)
            call.Reply.WriteNull();
        else
            call.Reply.WriteBulk(value.Bytes.Span);
    }

    private static void Get(ref CommandCall call)
    {
        if (call.TryFind<StringValue>(1, out var value))
            WriteValue(ref call, value);
    }

    private static void SetIfFree(ref CommandCall call)
    {
        var isFree = call.FindValue(1) is null;
        if (isFree)
            call.Apply<SetString, bool>(new(call.Text(1), call[2].ToArray(), null));
        call.Reply.WriteInteger(isFree ? 1 : 0);
    }

    private static void GetAndDelete(ref CommandCall call)
    {
        if (!call.TryFind<StringValue>(1, out var value))
            return;
        if (value is not null)
            call.Apply<DeleteKeys, long>(new([value.Key]));
        WriteValue(ref call, value);
    }

    private static void IncrementBy(ref CommandCall call)
    {
        if (call.TryInteger(2, out var amount))
            Add(ref call, amount);
    }

    private static void DecrementBy(ref CommandCall call)
    {
        if (!call.TryInteger(2, out var amount))
            return;
        if (amount == long.MinValue)
            call.Error("ERR decrement would overflow");
        else
            Add(ref call, -amount);
    }

    private static void Add(ref CommandCall call, long amount)
    {
        if (!call.TryFind<StringValue>(1, out var value))
            return;
        long number = 0;
        if (value is not null && !Numbers.TryParseInt64(value.Bytes.Span, out number))
        {
            call.Error(Errors.NotAnInteger);
            return;
        }

        if (amount > 0 ? number > long.MaxValue - amount : number < long.MinValue - amount)
        {
            call.Error("ERR increment or decrement would overflow");
            return;
        }

        number += amount;
        var text = Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture));
        call.Apply<SetString, bool>(new(call.Key(1), text, value?.ExpiresMs));
        call.Reply.WriteInteger(number);
    }

    private static void Length(ref CommandCall call)
    {
        if (call.TryFind<StringValue>(1, out var value))
            call.Reply.WriteInteger(value?.Bytes.Length ?? 0);
    }

    private static void Append(ref CommandCall call)
    {
        if (!call.TryFind<StringValue>(1, out var value))
            return;
        var length = (value?.Bytes.Length ?? 0) + (long)call[2].Length;
        if (length > MaxBytes)
        {
            call.Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
            return;
        }

        byte[] bytes = [.. value is null ? default : value.Bytes.Span, .. call[2]];
        call.Apply<SetString, bool>(new(call.Key(1), bytes, value?.ExpiresMs));
        call.Reply.WriteInteger(length);
    }
}
