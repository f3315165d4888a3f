using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Streams;

/// <summary>XNACK.</summary>
internal static partial class GroupCommands
{
    /// <summary>What follows the mode of an XNACK.</summary>
    private ref struct NackOptions
    {
        public int FirstId;
        public int IdCount;
        public long? DeliveryCount;
        public bool Force;
    }

    private static void Nack(ref CommandCall call)
    {
        if (!TryGroup(ref call, 1, out var stream, out var group))
            return;
        var (isSilent, isFatal) = (call.Is(3, "SILENT"u8), call.Is(3, "FATAL"u8));
        if (!isSilent && !isFatal && !call.Is(3, "FAIL"u8))
        {
            call.Error("ERR mode must be SILENT, FAIL, or FATAL");
            return;
        }

        if (!TryNackOptions(ref call, out var options) ||
            !call.TryIds(options.FirstId, options.FirstId + options.IdCount, out var ids))
            return;
        var deliveryCount = options.DeliveryCount ?? (isFatal ? long.MaxValue : null);
        call.Reply.WriteInteger(call.Apply<Nack, long>(new(stream.Name, group.Name, deliveryCount, isSilent, options.Force, ids)));
    }

    private static bool TryNackOptions(ref CommandCall call, out NackOptions options)
    {
        options = default;
        for (var i = 4; i < call.Count; i++)
        {
            var hasValue = i + 1 < call.Count;
            if (call.Is(i, "IDS"u8) && hasValue)
            {
                if (!TryNackedCount(ref call, ++i, out options.IdCount))
                    return false;
                options.FirstId = i + 1;
                i += options.IdCount;
            }
            else if (call.Is(i, "FORCE"u8))
            {
                options.Force = true;
            }
            else if (call.Is(i, "RETRYCOUNT"u8) && hasValue)
            {
                if (!call.TryInteger(++i, out var count))
                    return false;
                if (count < 0)
                {
                    call.Error("ERR Invalid RETRYCOUNT value, must be >= 0");
                    return false;
                }

                options.DeliveryCount = count;
            }
            else
            {
                call.Error($"ERR Unrecognized XNACK option '{KeyText.Decode(call[i])}'");
                return false;
            }
        }

        if (options.FirstId > 0)
            return true;
        call.Error("ERR syntax error, expected IDS keyword");
        return false;
    }

    /// <summary>The number of IDs, which has words of its own here.</summary>
    private static bool TryNackedCount(ref CommandCall call, int index, out int count)
    {
        count = 0;
        var error = !Numbers.TryParseInt64(call[index], out var number) || number is < 1 or > int.MaxValue
            ? "ERR numids must be a positive integer"
            : number > call.Count - index - 1 ? "ERR number of IDs doesn't match numids"
            : null;
        if (error is not null)
        {
            call.Error(error);
            return false;
        }

        count = (int)number;
        return true;
    }
}
