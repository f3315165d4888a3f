using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Server.Commands.Keys;

/// <summary><c>DUMP</c> and <c>RESTORE</c>: a value as bytes that another Millrace takes. What Redis dumps is refused, and the other way round.</summary>
internal static class DumpCommands
{
    private const string InvalidPayload = "ERR DUMP payload version or checksum are wrong";

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("dump", 2, CommandFlags.ReadOnly, 1, 1, 1, "keyspace", Dump) { Since = "2.6.0" },
        new("restore", -4, CommandFlags.Write | CommandFlags.DenyOom, 1, 1, 1, "keyspace dangerous", Restore) { Since = "2.6.0" },
    ];

    /// <summary>As large as one argument may be: more could not be restored.</summary>
    private static void Dump(ref CommandCall call)
    {
        if (call.FindValue(1) is { } value)
            call.Reply.WriteBulk(ValueRecord.Write(value, call.Server.Options.MaxBulkBytes).Span);
        else
            call.Reply.WriteNull();
    }

    private static void Restore(ref CommandCall call)
    {
        if (!TryOptions(ref call, out var replaces, out var isAbsolute))
            return;
        if (!replaces && call.FindValue(1) is not null)
        {
            call.Error("BUSYKEY Target key name already exists.");
            return;
        }

        if (!call.TryInteger(2, out var timeToLive))
            return;
        if (timeToLive < 0 || (!isAbsolute && timeToLive > long.MaxValue - call.NowMs))
        {
            call.Error("ERR Invalid TTL value, must be >= 0");
            return;
        }

        if (!ValueRecord.IsWhole(call[3]))
        {
            call.Error(InvalidPayload);
            return;
        }

        long? expiresMs = timeToLive == 0 ? null : isAbsolute ? timeToLive : timeToLive + call.NowMs;
        if (TryRestore(ref call, call.Key(1), expiresMs))
            call.Ok();
        else
            call.Error("ERR Bad data format");
    }

    /// <summary>False when the payload has a checksum but is nonsense; then nothing changed. A value whose time is over is gone at once.</summary>
    private static bool TryRestore(ref CommandCall call, string key, long? expiresMs)
    {
        try
        {
            call.Apply<RestoreKey, bool>(new(key, call[3].ToArray(), expiresMs));
        }
        catch (StreamException e) when (e.Code == StreamErrorCode.Corrupt)
        {
            return false;
        }

        if (expiresMs <= call.NowMs)
            call.Apply<DeleteKeys, long>(new([key]));
        return true;
    }

    private static bool TryOptions(ref CommandCall call, out bool replaces, out bool isAbsolute)
    {
        (replaces, isAbsolute) = (false, false);
        var (hasIdle, hasFrequency) = (false, false);
        for (var i = 4; i < call.Count; i++)
        {
            var hasValue = i + 1 < call.Count;
            if (call.Is(i, "REPLACE"u8))
            {
                replaces = true;
            }
            else if (call.Is(i, "ABSTTL"u8))
            {
                isAbsolute = true;
            }
            else if (hasValue && !hasFrequency && call.Is(i, "IDLETIME"u8))
            {
                hasIdle = true;
                if (!TryNumber(ref call, ++i, long.MaxValue, "ERR Invalid IDLETIME value, must be >= 0"))
                    return false;
            }
            else if (hasValue && !hasIdle && call.Is(i, "FREQ"u8))
            {
                hasFrequency = true;
                if (!TryNumber(ref call, ++i, 255, "ERR Invalid FREQ value, must be >= 0 and <= 255"))
                    return false;
            }
            else
            {
                call.Error(Errors.Syntax);
                return false;
            }
        }

        return true;
    }

    /// <summary>Idle times and frequencies serve eviction, of which there is none: they are checked, and that is all.</summary>
    private static bool TryNumber(ref CommandCall call, int index, long most, string error)
    {
        if (!call.TryInteger(index, out var value))
            return false;
        if (value >= 0 && value <= most)
            return true;
        call.Error(error);
        return false;
    }
}
