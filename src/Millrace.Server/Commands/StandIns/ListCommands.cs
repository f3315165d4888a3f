using System.Buffers.Text;
using Millrace.Server.Connections;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.StandIns;

/// <summary>The commands on lists that applications use beside their streams.</summary>
internal static class ListCommands
{
    private const CommandFlags GrowFast = CommandFlags.Write | CommandFlags.Fast | CommandFlags.DenyOom;
    private const CommandFlags WriteFast = CommandFlags.Write | CommandFlags.Fast;
    private const CommandFlags Waits = CommandFlags.Write | CommandFlags.Blocking;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("lpush", -3, GrowFast, 1, 1, 1, "list", static (ref CommandCall call) => Push(ref call, atHead: true)) { Group = "list" },
        new("rpush", -3, GrowFast, 1, 1, 1, "list", static (ref CommandCall call) => Push(ref call, atHead: false)) { Group = "list" },
        new("lpop", -2, WriteFast, 1, 1, 1, "list", static (ref CommandCall call) => Pop(ref call, atHead: true))
        {
            Group = "list", KeyRights = KeyRights.ReadWrite,
        },
        new("rpop", -2, WriteFast, 1, 1, 1, "list", static (ref CommandCall call) => Pop(ref call, atHead: false))
        {
            Group = "list", KeyRights = KeyRights.ReadWrite,
        },
        new("llen", 2, CommandFlags.ReadOnly | CommandFlags.Fast, 1, 1, 1, "list", Length) { Group = "list", KeyRights = KeyRights.None },
        new("lrange", 4, CommandFlags.ReadOnly, 1, 1, 1, "list", Range) { Group = "list" },
        new("blpop", -3, Waits, 1, -2, 1, "list", static (ref CommandCall call) => PopOrWait(ref call, atHead: true))
        {
            Group = "list", Since = "2.0.0", KeyRights = KeyRights.ReadWrite,
        },
        new("brpop", -3, Waits, 1, -2, 1, "list", static (ref CommandCall call) => PopOrWait(ref call, atHead: false))
        {
            Group = "list", Since = "2.0.0", KeyRights = KeyRights.ReadWrite,
        },
    ];

    private static void Push(ref CommandCall call, bool atHead)
    {
        if (!call.TryFind<ListValue>(1, out _))
            return;
        var items = new byte[call.Count - 2][];
        for (var i = 0; i < items.Length; i++)
            items[i] = call[i + 2].ToArray();
        call.Reply.WriteInteger(call.Apply<PushList, long>(new(call.Key(1), atHead, items)));
    }

    private static void Pop(ref CommandCall call, bool atHead)
    {
        if (call.Count > 3)
        {
            call.WrongArity();
            return;
        }

        var hasCount = call.Count == 3;
        long count = 1;
        if (hasCount && (!Numbers.TryParseInt64(call[2], out count) || count < 0))
        {
            call.Error("ERR value is out of range, must be positive");
            return;
        }

        if (!call.TryFind<ListValue>(1, out var list))
            return;
        if (list is null)
        {
            if (hasCount)
                call.Reply.WriteNullArray();
            else
                call.Reply.WriteNull();
            return;
        }

        var items = call.Apply<PopList, byte[][]>(new(list.Key, atHead, count));
        if (hasCount)
            call.Reply.WriteArray(items.Length);
        foreach (var item in items)
            call.Reply.WriteBulk(item);
    }

    private static void Length(ref CommandCall call)
    {
        if (call.TryFind<ListValue>(1, out var list))
            call.Reply.WriteInteger(list?.Count ?? 0);
    }

    private static void Range(ref CommandCall call)
    {
        if (!call.TryInteger(2, out var first) || !call.TryInteger(3, out var last) || !call.TryFind<ListValue>(1, out var list))
            return;
        var length = list?.Count ?? 0;
        first = Math.Max(0, first < 0 ? first + length : first);
        last = Math.Min(length - 1, last < 0 ? last + length : last);
        call.Reply.WriteArray((int)Math.Max(0, last - first + 1));
        for (var i = first; i <= last; i++)
            call.Reply.WriteBulk(list![(int)i]);
    }

    private static void PopOrWait(ref CommandCall call, bool atHead)
    {
        if (!TryTimeout(ref call, call.Count - 1, out var limit))
            return;
        var keys = new string[call.Count - 2];
        for (var i = 0; i < keys.Length; i++)
        {
            keys[i] = call.Key(i + 1);
            if (!call.TryFind<ListValue>(i + 1, out var list))
                return;
            if (list is null)
                continue;
            PopFirst(ref call, list.Key, atHead);
            return;
        }

        if (call.MayBlock)
            call.Block(new BlockedPop(call.Client, call.ToStored(), keys, atHead), limit);
        else
            call.Reply.WriteNullArray();
    }

    private static void PopFirst(ref CommandCall call, string key, bool atHead)
    {
        var items = call.Apply<PopList, byte[][]>(new(key, atHead, 1));
        call.Reply.WriteArray(2);
        call.WriteText(key);
        call.Reply.WriteBulk(items[0]);
    }

    /// <summary>
    /// Seconds with a fraction. Zero waits without a limit, as does what is longer than a timer takes; milliseconds of more than 64 bits are
    /// negative to Redis.
    /// </summary>
    private static bool TryTimeout(ref CommandCall call, int index, out TimeSpan? limit)
    {
        limit = null;
        var text = call[index];
        if (!Utf8Parser.TryParse(text, out double seconds, out var used) || used != text.Length || double.IsNaN(seconds))
        {
            call.Error("ERR timeout is not a float or out of range");
            return false;
        }

        var milliseconds = Math.Ceiling(seconds * 1000);
        if (milliseconds is < 0 or >= long.MaxValue)
        {
            call.Error("ERR timeout is negative");
            return false;
        }

        limit = milliseconds is 0 or >= uint.MaxValue ? null : TimeSpan.FromMilliseconds(milliseconds);
        return true;
    }

    /// <summary>Waits until one of the keys is a list. A key that became something else meanwhile is passed over.</summary>
    private sealed class BlockedPop(ClientConnection client, StoredRequest request, IReadOnlyList<string> keys, bool atHead)
        : BlockedCommand(client, request, keys, group: null)
    {
        protected override bool TryRun(ref CommandCall call)
        {
            for (var i = 0; i < Streams.Count; i++)
            {
                if (call.Engine.Keyspace.Find(Streams[i]) is not ListValue list)
                    continue;
                PopFirst(ref call, list.Key, atHead);
                return true;
            }

            return false;
        }
    }
}
