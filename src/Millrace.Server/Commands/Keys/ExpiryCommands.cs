using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Keys;

/// <summary>The commands that say when a key is taken away.</summary>
internal static class ExpiryCommands
{
    private const CommandFlags WriteFast = CommandFlags.Write | CommandFlags.Fast;
    private const CommandFlags ReadFast = CommandFlags.ReadOnly | CommandFlags.Fast;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("expire", -3, WriteFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Expire(ref call, 1000, call.NowMs)),
        new("pexpire", -3, WriteFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Expire(ref call, 1, call.NowMs)),
        new("expireat", -3, WriteFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Expire(ref call, 1000, 0)),
        new("pexpireat", -3, WriteFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Expire(ref call, 1, 0)),
        new("ttl", 2, ReadFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Tell(ref call, 1000, call.NowMs)),
        new("pttl", 2, ReadFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Tell(ref call, 1, call.NowMs)),
        new("expiretime", 2, ReadFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Tell(ref call, 1000, 0)) { Since = "7.0.0" },
        new("pexpiretime", 2, ReadFast, 1, 1, 1, "keyspace", static (ref CommandCall call) => Tell(ref call, 1, 0)) { Since = "7.0.0" },
        new("persist", 2, WriteFast, 1, 1, 1, "keyspace", Persist),
    ];

    [Flags]
    private enum Condition
    {
        None = 0,
        IfNone = 1,
        IfAny = 2,
        IfLater = 4,
        IfEarlier = 8,
    }

    private static void Expire(ref CommandCall call, long unitMs, long sinceMs)
    {
        if (!TryCondition(ref call, out var condition) || !call.TryInteger(2, out var when))
            return;
        if (when > long.MaxValue / unitMs || when < long.MinValue / unitMs || when * unitMs > long.MaxValue - sinceMs)
        {
            call.Error($"ERR invalid expire time in '{call.Command.FullName}' command");
            return;
        }

        var whenMs = (when * unitMs) + sinceMs;
        var value = call.FindValue(1);
        if (value is null || !Holds(condition, value.ExpiresMs, whenMs))
        {
            call.Reply.WriteInteger(0);
            return;
        }

        if (whenMs <= call.NowMs)
            call.Apply<DeleteKeys, long>(new([value.Key]));
        else
            call.Apply<SetExpiry, bool>(new(value.Key, whenMs));
        call.Reply.WriteInteger(1);
    }

    private static bool TryCondition(ref CommandCall call, out Condition condition)
    {
        condition = Condition.None;
        for (var i = 3; i < call.Count; i++)
        {
            var word = call.Is(i, "NX"u8) ? Condition.IfNone
                : call.Is(i, "XX"u8) ? Condition.IfAny
                : call.Is(i, "GT"u8) ? Condition.IfLater
                : call.Is(i, "LT"u8) ? Condition.IfEarlier
                : Condition.None;
            if (word == Condition.None)
            {
                call.Error($"ERR Unsupported option {call.Quote(i)}");
                return false;
            }

            condition |= word;
        }

        var error = (condition & Condition.IfNone) != 0 && condition != Condition.IfNone
            ? "ERR NX and XX, GT or LT options at the same time are not compatible"
            : (condition & (Condition.IfLater | Condition.IfEarlier)) == (Condition.IfLater | Condition.IfEarlier)
                ? "ERR GT and LT options at the same time are not compatible"
                : null;
        if (error is not null)
            call.Error(error);
        return error is null;
    }

    /// <summary>A key that never expires counts as later than every moment.</summary>
    private static bool Holds(Condition condition, long? expiresMs, long whenMs) =>
        ((condition & Condition.IfNone) == 0 || expiresMs is null) &&
        ((condition & Condition.IfAny) == 0 || expiresMs is not null) &&
        ((condition & Condition.IfLater) == 0 || whenMs > (expiresMs ?? long.MaxValue)) &&
        ((condition & Condition.IfEarlier) == 0 || (expiresMs is null || whenMs < expiresMs));

    /// <summary>What is left, or the moment itself, in whole units: rounded, and no sum that leaves 64 bits.</summary>
    private static void Tell(ref CommandCall call, long unitMs, long sinceMs)
    {
        var value = call.FindValue(1);
        if (value?.ExpiresMs is not { } expiresMs)
        {
            call.Reply.WriteInteger(value is null ? -2 : -1);
            return;
        }

        var (units, restMs) = Math.DivRem(Math.Max(0, expiresMs - sinceMs), unitMs);
        call.Reply.WriteInteger(2 * restMs >= unitMs ? units + 1 : units);
    }

    private static void Persist(ref CommandCall call)
    {
        var value = call.FindValue(1);
        if (value?.ExpiresMs is null)
            call.Reply.WriteInteger(0);
        else
            call.Reply.WriteInteger(call.Apply<SetExpiry, bool>(new(value.Key, null)) ? 1 : 0);
    }
}
