using System.Text;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.StandIns;

/// <summary><c>SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]</c>.</summary>
internal static class SetCommand
{
    /// <summary>What the options ask for.</summary>
    private struct Options
    {
        public bool IfFree;
        public bool IfTaken;
        public bool Gets;
        public bool KeepsExpiry;

        /// <summary>The argument that says when it expires, or 0.</summary>
        public int ExpiryArgument;

        public long ExpiryUnitMs;

        public bool IsExpiryRelative;
    }

    /// <summary>Only GET reads. As Redis, whatever else the word may mean: rights are checked before options.</summary>
    public static KeyRights Rights(in CommandCall call, int index)
    {
        for (var i = 3; i < call.Count; i++)
        {
            if (call.Is(i, "GET"u8))
                return KeyRights.ReadWrite;
        }

        return KeyRights.Write;
    }

    public static void Run(ref CommandCall call)
    {
        if (!TryParse(ref call, out var options))
        {
            call.Error(Errors.Syntax);
            return;
        }

        if (!TryExpiry(ref call, options, out var expiresMs))
            return;
        var before = call.FindValue(1);
        if (options.Gets && before is not (null or StringValue))
        {
            call.Error(Errors.WrongType);
            return;
        }

        if ((options.IfFree && before is not null) || (options.IfTaken && before is null))
        {
            StringCommands.WriteValue(ref call, options.Gets ? (StringValue?)before : null);
            return;
        }

        if (options.KeepsExpiry)
            expiresMs = before?.ExpiresMs;

        // A moment that has passed already: the key would be gone at once, and so is what was there.
        if (expiresMs <= call.NowMs)
            call.Apply<DeleteKeys, long>(new([call.Text(1)]));
        else
            call.Apply<SetString, bool>(new(call.Key(1), call[2].ToArray(), expiresMs));
        if (options.Gets)
            StringCommands.WriteValue(ref call, (StringValue?)before);
        else
            call.Ok();
    }

    private static bool TryParse(ref CommandCall call, out Options options)
    {
        options = default;
        for (var i = 3; i < call.Count; i++)
        {
            // The same unit may come again, and the last one counts.
            var mayExpire = !options.KeepsExpiry &&
                (options.ExpiryArgument == 0 || Ascii.EqualsIgnoreCase(call[options.ExpiryArgument - 1], call[i]));
            if (call.Is(i, "NX"u8) && !options.IfTaken)
                options.IfFree = true;
            else if (call.Is(i, "XX"u8) && !options.IfFree)
                options.IfTaken = true;
            else if (call.Is(i, "GET"u8))
                options.Gets = true;
            else if (call.Is(i, "KEEPTTL"u8) && options.ExpiryArgument == 0)
                options.KeepsExpiry = true;
            else if (mayExpire && i + 1 < call.Count && TryUnit(ref call, i, ref options))
                options.ExpiryArgument = ++i;
            else
                return false;
        }

        return true;
    }

    private static bool TryUnit(ref CommandCall call, int index, ref Options options)
    {
        var isSeconds = call.Is(index, "EX"u8) || call.Is(index, "EXAT"u8);
        if (!isSeconds && !call.Is(index, "PX"u8) && !call.Is(index, "PXAT"u8))
            return false;
        options.ExpiryUnitMs = isSeconds ? 1000 : 1;
        options.IsExpiryRelative = call[index].Length == 2;
        return true;
    }

    private static bool TryExpiry(ref CommandCall call, in Options options, out long? expiresMs)
    {
        expiresMs = null;
        if (options.ExpiryArgument == 0)
            return true;
        if (!call.TryInteger(options.ExpiryArgument, out var when))
            return false;
        var sinceMs = options.IsExpiryRelative ? call.NowMs : 0;
        if (when <= 0 || when > long.MaxValue / options.ExpiryUnitMs || when * options.ExpiryUnitMs > long.MaxValue - sinceMs)
        {
            call.Error("ERR invalid expire time in 'set' command");
            return false;
        }

        expiresMs = (when * options.ExpiryUnitMs) + sinceMs;
        return true;
    }
}
