using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Keys;

/// <summary>The commands that find, list and delete keys of any type.</summary>
internal static class KeyCommands
{
    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("del", -2, CommandFlags.Write, 1, -1, 1, "keyspace", Delete),
        new("unlink", -2, CommandFlags.Write | CommandFlags.Fast, 1, -1, 1, "keyspace", Delete) { Since = "4.0.0" },
        new("exists", -2, CommandFlags.ReadOnly | CommandFlags.Fast, 1, -1, 1, "keyspace", CountExisting) { KeyRights = KeyRights.None },
        new("touch", -2, CommandFlags.ReadOnly | CommandFlags.Fast, 1, -1, 1, "keyspace", CountExisting) { Since = "3.2.1", KeyRights = KeyRights.None },
        new("type", 2, CommandFlags.ReadOnly | CommandFlags.Fast, 1, 1, 1, "keyspace", Type) { KeyRights = KeyRights.None },
        new("keys", 2, CommandFlags.ReadOnly, 0, 0, 0, "keyspace dangerous", Keys),
        new("scan", -2, CommandFlags.ReadOnly, 0, 0, 0, "keyspace", Scan) { Since = "2.8.0" },
        new("dbsize", 1, CommandFlags.ReadOnly | CommandFlags.Fast, 0, 0, 0, "keyspace", Size) { Group = "server" },
        new("randomkey", 1, CommandFlags.ReadOnly, 0, 0, 0, "keyspace", RandomKey),
        new("flushdb", -1, CommandFlags.Write, 0, 0, 0, "keyspace dangerous", FlushDatabase) { Group = "server" },
        new("flushall", -1, CommandFlags.Write, 0, 0, 0, "keyspace dangerous", FlushAll) { Group = "server" },
    ];

    private static void Delete(ref CommandCall call)
    {
        var keys = new string[call.Count - 1];
        for (var i = 0; i < keys.Length; i++)
            keys[i] = call.Key(i + 1);
        call.Reply.WriteInteger(call.Apply<DeleteKeys, long>(new(keys)));
    }

    private static void CountExisting(ref CommandCall call)
    {
        var count = 0;
        for (var i = 1; i < call.Count; i++)
        {
            if (call.FindValue(i) is not null)
                count++;
        }

        call.Reply.WriteInteger(count);
    }

    private static void Type(ref CommandCall call) => call.Reply.WriteSimple(call.FindValue(1)?.TypeName ?? "none");

    private static void Keys(ref CommandCall call)
    {
        var found = new List<string>();
        foreach (var (key, _) in call.Engine.Keyspace)
        {
            if (Matches(call[1], key))
                found.Add(key);
        }

        call.Reply.WriteArray(found.Count);
        foreach (var key in found)
            call.WriteText(key);
    }

    /// <summary>
    /// The cursor is the next slot to look at. A key keeps its slot as long as it lives, so whatever lives through a scan is returned, once.
    /// </summary>
    private static void Scan(ref CommandCall call)
    {
        if (!Numbers.TryParseCursor(call[1], out var cursor))
        {
            call.Error("ERR invalid cursor");
            return;
        }

        if (!TryScanOptions(ref call, out var count, out var pattern, out var type))
            return;

        var keyspace = call.Engine.Keyspace;
        var found = new List<string>();
        var seen = 0L;

        // Where most slots are free, a call looks at ten times as many as it was asked for, and then gives the lock to others.
        var end = (long)Math.Min((ulong)keyspace.SlotCount, cursor + (ulong)Math.Min(count, int.MaxValue) * 10);
        var slot = (long)Math.Min(cursor, (ulong)keyspace.SlotCount);
        for (; slot < end && seen < count; slot++)
        {
            if (keyspace.InSlot((int)slot) is not { } value)
                continue;
            seen++;
            if ((pattern == 0 || Matches(call[pattern], value.Key)) && (type == 0 || IsOfType(call[type], value)))
                found.Add(value.Key);
        }

        call.Reply.WriteArray(2);
        call.Reply.WriteBulk(slot >= keyspace.SlotCount ? 0 : slot);
        call.Reply.WriteArray(found.Count);
        foreach (var key in found)
            call.WriteText(key);
    }

    /// <summary>Reads <c>MATCH</c>, <c>COUNT</c> and <c>TYPE</c>; pattern and type are indexes of arguments, 0 for none.</summary>
    private static bool TryScanOptions(ref CommandCall call, out long count, out int pattern, out int type)
    {
        (count, pattern, type) = (10, 0, 0);
        for (var i = 2; i < call.Count; i += 2)
        {
            var hasValue = i + 1 < call.Count;
            if (hasValue && call.Is(i, "COUNT"u8))
            {
                if (!call.TryInteger(i + 1, out count))
                    return false;
                if (count >= 1)
                    continue;
            }
            else if (hasValue && call.Is(i, "MATCH"u8))
            {
                pattern = i + 1;
                continue;
            }
            else if (hasValue && call.Is(i, "TYPE"u8))
            {
                type = i + 1;
                continue;
            }

            call.Error(Errors.Syntax);
            return false;
        }

        return true;
    }

    private static void Size(ref CommandCall call) => call.Reply.WriteInteger(call.Engine.Keyspace.Count);

    private static void RandomKey(ref CommandCall call)
    {
        var keyspace = call.Engine.Keyspace;
        if (keyspace.Count == 0)
        {
            call.Reply.WriteNull();
            return;
        }

        // Any slot is as good as another; where most are free, the first key behind one is random enough.
        var slot = Random.Shared.Next(keyspace.SlotCount);
        for (var tries = 0; tries < 100 && keyspace.InSlot(slot) is null; tries++)
            slot = Random.Shared.Next(keyspace.SlotCount);
        while (keyspace.InSlot(slot) is null)
            slot = (slot + 1) % keyspace.SlotCount;
        call.WriteText(keyspace.InSlot(slot)!.Key);
    }

    private static void FlushDatabase(ref CommandCall call) => Flush(ref call, everyDatabase: false);

    private static void FlushAll(ref CommandCall call) => Flush(ref call, everyDatabase: true);

    private static void Flush(ref CommandCall call, bool everyDatabase)
    {
        if (call.Count > 2 || (call.Count == 2 && !call.Is(1, "ASYNC"u8) && !call.Is(1, "SYNC"u8)))
        {
            call.Error(Errors.Syntax);
            return;
        }

        call.Apply<ClearKeys, long>(new(everyDatabase));
        call.Ok();
    }

    private static bool Matches(ReadOnlySpan<byte> pattern, string key)
    {
        var length = KeyText.ByteCount(key);
        Span<byte> bytes = length <= 256 ? stackalloc byte[256] : new byte[length];
        return GlobPattern.IsMatch(pattern, bytes[..KeyText.Encode(key, bytes)]);
    }

    private static bool IsOfType(ReadOnlySpan<byte> type, KeyspaceValue value) => System.Text.Ascii.EqualsIgnoreCase(type, value.TypeName);
}
