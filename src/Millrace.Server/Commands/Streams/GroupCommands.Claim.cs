using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Streams;

/// <summary>XCLAIM and XAUTOCLAIM.</summary>
internal static partial class GroupCommands
{
    private const long DefaultAutoClaims = 100;

    /// <summary>The options behind the IDs of an XCLAIM.</summary>
    private ref struct ClaimOptions
    {
        public long? DeliveredMs;
        public long? DeliveryCount;
        public bool Force;
        public bool JustIds;
        public EntryId LastId;
    }

    private static void Claim(ref CommandCall call)
    {
        if (!TryGroup(ref call, 1, out var stream, out var group) ||
            !call.TryInteger(4, out var minIdleMs, "ERR Invalid min-idle-time argument for XCLAIM"))
            return;

        var end = 5;
        while (end < call.Count && IdArguments.TryParse(call[end], 0, out _))
            end++;
        if (!call.TryIds(5, end, out var ids) || !TryClaimOptions(ref call, end, out var options))
            return;

        var deliveredMs = options.DeliveredMs is { } time && time >= 0 && time <= call.NowMs ? time : call.NowMs;
        var claimed = call.Apply<ClaimAs, EntryId[]>(new(
            stream.Name,
            group.Name,
            call.Text(3),
            Math.Max(0, minIdleMs),
            deliveredMs,
            options.DeliveryCount,
            options.Force,
            options.JustIds,
            options.LastId,
            ids));
        WriteClaimed(ref call, stream, claimed, options.JustIds);
    }

    private static bool TryClaimOptions(ref CommandCall call, int first, out ClaimOptions options)
    {
        options = default;
        for (var i = first; i < call.Count; i++)
        {
            var hasValue = i + 1 < call.Count;
            if (call.Is(i, "force"u8))
            {
                options.Force = true;
            }
            else if (call.Is(i, "justid"u8))
            {
                options.JustIds = true;
            }
            else if (call.Is(i, "idle"u8) && hasValue)
            {
                if (!call.TryInteger(++i, out var idleMs, "ERR Invalid IDLE option argument for XCLAIM"))
                    return false;
                options.DeliveredMs = idleMs < 0 ? call.NowMs : call.NowMs - idleMs;
            }
            else if (call.Is(i, "time"u8) && hasValue)
            {
                if (!call.TryInteger(++i, out var timeMs, "ERR Invalid TIME option argument for XCLAIM"))
                    return false;
                options.DeliveredMs = timeMs;
            }
            else if (call.Is(i, "retrycount"u8) && hasValue)
            {
                if (!call.TryInteger(++i, out var count, "ERR Invalid RETRYCOUNT option argument for XCLAIM"))
                    return false;
                options.DeliveryCount = count < 0 ? null : count;
            }
            else if (call.Is(i, "lastid"u8) && hasValue)
            {
                if (!call.TryId(++i, out options.LastId))
                    return false;
            }
            else
            {
                call.Error($"ERR Unrecognized XCLAIM option '{call.Quote(i)}'");
                return false;
            }
        }

        return true;
    }

    private static void AutoClaim(ref CommandCall call)
    {
        if (!call.TryInteger(4, out var minIdleMs, "ERR Invalid min-idle-time argument for XAUTOCLAIM") || !call.TryStart(5, out var start))
            return;
        var count = DefaultAutoClaims;
        var justIds = false;
        for (var i = 6; i < call.Count; i++)
        {
            if (call.Is(i, "count"u8) && i + 1 < call.Count)
            {
                // Redis allocates room for the deleted IDs, of 16 bytes each, and refuses what could never fit.
                if (!Numbers.TryParseInt64(call[++i], out count) || count is < 1 or > long.MaxValue / 16)
                {
                    call.Error("ERR COUNT must be > 0");
                    return;
                }
            }
            else if (call.Is(i, "justid"u8))
            {
                justIds = true;
            }
            else
            {
                call.Error(Errors.Syntax);
                return;
            }
        }

        if (!TryGroup(ref call, 1, out var stream, out var group))
            return;
        var result = call.Apply<AutoClaim, AutoClaimed>(
            new(stream.Name, group.Name, call.Text(3), Math.Max(0, minIdleMs), start, count, justIds));
        call.Reply.WriteArray(3);
        call.WriteId(result.Next);
        WriteClaimed(ref call, stream, result.Claimed, justIds);
        WriteIds(ref call, result.Deleted);
    }

    private static void WriteClaimed(ref CommandCall call, StreamValue stream, IReadOnlyList<EntryId> ids, bool justIds)
    {
        if (justIds)
        {
            WriteIds(ref call, ids);
            return;
        }

        call.Reply.WriteArray(ids.Count);
        foreach (var id in ids)
            call.WriteEntryOrNull(stream.Entries, id);
    }

    private static void WriteIds(ref CommandCall call, IReadOnlyList<EntryId> ids)
    {
        call.Reply.WriteArray(ids.Count);
        foreach (var id in ids)
            call.WriteId(id);
    }
}
