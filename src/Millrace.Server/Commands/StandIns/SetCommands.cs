using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.StandIns;

/// <summary>The commands on sets that applications use beside their streams.</summary>
internal static class SetCommands
{
    private const CommandFlags ReadFast = CommandFlags.ReadOnly | CommandFlags.Fast;
    private const CommandFlags WriteFast = CommandFlags.Write | CommandFlags.Fast;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("sadd", -3, WriteFast | CommandFlags.DenyOom, 1, 1, 1, "set", Add) { Group = "set" },
        new("srem", -3, WriteFast, 1, 1, 1, "set", Remove) { Group = "set" },
        new("smembers", 2, CommandFlags.ReadOnly, 1, 1, 1, "set", Members) { Group = "set" },
        new("sismember", 3, ReadFast, 1, 1, 1, "set", Contains) { Group = "set", KeyRights = KeyRights.None },
        new("scard", 2, ReadFast, 1, 1, 1, "set", Count) { Group = "set", KeyRights = KeyRights.None },
    ];

    private static void Add(ref CommandCall call)
    {
        if (call.TryFind<SetValue>(1, out _))
            call.Reply.WriteInteger(call.Apply<AddMembers, long>(new(call.Key(1), MembersOf(ref call))));
    }

    private static void Remove(ref CommandCall call)
    {
        if (call.TryFind<SetValue>(1, out var set))
            call.Reply.WriteInteger(set is null ? 0 : call.Apply<RemoveMembers, long>(new(set.Key, MembersOf(ref call))));
    }

    private static void Members(ref CommandCall call)
    {
        if (!call.TryFind<SetValue>(1, out var set))
            return;
        call.Reply.WriteSet(set?.Members.Count ?? 0);
        if (set is null)
            return;
        foreach (var member in set.Members)
            call.WriteText(member);
    }

    private static void Contains(ref CommandCall call)
    {
        if (call.TryFind<SetValue>(1, out var set))
            call.Reply.WriteInteger(set is not null && set.Members.Contains(call.Text(2)) ? 1 : 0);
    }

    private static void Count(ref CommandCall call)
    {
        if (call.TryFind<SetValue>(1, out var set))
            call.Reply.WriteInteger(set?.Members.Count ?? 0);
    }

    private static string[] MembersOf(ref CommandCall call)
    {
        var members = new string[call.Count - 2];
        for (var i = 0; i < members.Length; i++)
            members[i] = call.Text(i + 2);
        return members;
    }
}
