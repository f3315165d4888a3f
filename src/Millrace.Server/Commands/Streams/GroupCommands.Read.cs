using Millrace.Server.Connections;
using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Streams;

/// <summary>XREADGROUP.</summary>
internal static partial class GroupCommands
{
    /// <summary>What an XREADGROUP asks for.</summary>
    /// <param name="Group">The group.</param>
    /// <param name="Consumer">The consumer.</param>
    /// <param name="Limits">How much it answers at most.</param>
    /// <param name="MinIdleMs">Entries pending for so long are claimed in front of new ones; null: none are.</param>
    /// <param name="NoAck">Whether new entries do not become pending.</param>
    /// <param name="Keys">The streams.</param>
    /// <param name="After">For each stream the ID after which the consumer's own pending entries are shown; null: new entries.</param>
    private sealed record GroupRequest(
        string Group, string Consumer, ReadLimits Limits, long? MinIdleMs, bool NoAck, string[] Keys, EntryId?[] After);

    /// <summary>The options in front of the streams.</summary>
    private ref struct ReadOptions
    {
        public int GroupAt;
        public int StreamsAt;
        public ReadLimits Limits;
        public long BlockMs;
        public long? MinIdleMs;
        public bool NoAck;
    }

    private static void ReadGroup(ref CommandCall call)
    {
        if (!TryReadOptions(ref call, out var options))
            return;
        var count = (call.Count - options.StreamsAt) / 2;
        var request = new GroupRequest(
            call.Text(options.GroupAt),
            call.Text(options.GroupAt + 1),
            options.Limits,
            options.MinIdleMs,
            options.NoAck,
            new string[count],
            new EntryId?[count]);
        for (var i = 0; i < count; i++)
        {
            var keyAt = options.StreamsAt + i;
            if (!call.TryFind<StreamValue>(keyAt, out var stream))
                return;
            request.Keys[i] = stream?.Name ?? call.Text(keyAt);
            if (stream?.FindGroup(request.Group) is null)
            {
                call.Error(NoGroupToRead(request, i));
                return;
            }

            if (!TryPosition(ref call, keyAt + count, out request.After[i]))
                return;
        }

        if (TryDeliver(ref call, request))
            return;
        if (options.BlockMs < 0 || !call.MayBlock)
            call.Reply.WriteNullArray();
        else
            call.Block(new BlockedGroupRead(call, request), ToLimit(options.BlockMs));
    }

    private static string NoGroupToRead(GroupRequest request, int index) =>
        NoGroup(request.Keys[index], request.Group, " in XREADGROUP with GROUP option");

    /// <summary>Null, for ever, is also what is longer than any timer.</summary>
    private static TimeSpan? ToLimit(long blockMs) =>
        blockMs == 0 || blockMs > TimeSpan.MaxValue.TotalMilliseconds / 2 ? null : TimeSpan.FromMilliseconds(blockMs);

    private static bool TryReadOptions(ref CommandCall call, out ReadOptions options)
    {
        options = new() { BlockMs = -1 };
        for (var i = 1; i < call.Count && options.StreamsAt == 0; i++)
        {
            var left = call.Count - i - 1;
            if (call.Is(i, "block"u8) && left > 0)
            {
                if (!call.TryTimeoutMs(++i, out options.BlockMs))
                    return false;
            }
            else if (options.Limits.TryRead(call, ref i, out var isError))
            {
                if (isError)
                    return false;
            }
            else if (call.Is(i, "claim"u8) && left > 0)
            {
                if (!TryMinIdle(ref call, ++i, out options.MinIdleMs))
                    return false;
            }
            else if (call.Is(i, "group"u8) && left > 1)
            {
                options.GroupAt = i + 1;
                i += 2;
            }
            else if (call.Is(i, "noack"u8))
            {
                options.NoAck = true;
            }
            else if (call.Is(i, "streams"u8) && left > 0)
            {
                options.StreamsAt = i + 1;
            }
            else
            {
                call.Error(Errors.Syntax);
                return false;
            }
        }

        var error = options.StreamsAt == 0 ? Errors.Syntax
            : (call.Count - options.StreamsAt) % 2 != 0
                ? "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified."
            : options.GroupAt == 0 ? "ERR Missing GROUP option for XREADGROUP"
            : null;
        if (error is not null)
            call.Error(error);
        return error is null && options.Limits.TryFinish(call);
    }

    private static bool TryMinIdle(ref CommandCall call, int index, out long? minIdleMs)
    {
        var isNumber = call.TryInteger(index, out var milliseconds, "ERR min-idle-time is not an integer or out of range");
        minIdleMs = milliseconds;
        if (!isNumber || milliseconds >= 0)
            return isNumber;
        call.Error("ERR min-idle-time must be a positive integer");
        return false;
    }

    private static bool TryPosition(ref CommandCall call, int index, out EntryId? after)
    {
        after = null;
        if (call[index] is [(byte)'>'])
            return true;
        if (call[index] is [(byte)'$' or (byte)'+'])
        {
            var sign = (char)call[index][0];
            call.Error($"ERR The {sign} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by " +
                $"specifying a proper ID, or use the > ID to get new messages. The {sign} ID would just return an empty result set.");
            return false;
        }

        var isId = call.TryId(index, out var id);

        // Nothing comes after the largest ID: in Redis it is another spelling of `>`.
        after = id == EntryId.Max ? null : id;
        return isId;
    }

    private static void FindStreams(ref CommandCall call, List<int> keys)
    {
        var mark = call.Client.Output.Length;
        if (!TryReadOptions(ref call, out var options))
        {
            // Who only asks for the keys gets no reply from here; the command itself will refuse.
            call.Client.Output.Truncate(mark);
            return;
        }

        for (var i = 0; i < (call.Count - options.StreamsAt) / 2; i++)
            keys.Add(options.StreamsAt + i);
    }

    /// <summary>An XREADGROUP that waits for new entries, and with CLAIM for pending ones to be idle long enough.</summary>
    private sealed class BlockedGroupRead : BlockedCommand
    {
        private readonly GroupRequest _request;

        public BlockedGroupRead(in CommandCall call, GroupRequest request)
            : base(call.Client, call.ToStored(), request.Keys, request.Group)
        {
            _request = request;
            NextTryMs = FindNextClaim(call, request);
        }

        protected override bool TryRun(ref CommandCall call)
        {
            for (var i = 0; i < _request.Keys.Length; i++)
            {
                // A key of another type throws, which answers with its error.
                if (call.Engine.FindGroup(_request.Keys[i], _request.Group, out _) is not null)
                    continue;
                call.Error(NoGroupToRead(_request, i));
                return true;
            }

            if (TryDeliver(ref call, _request))
                return true;
            NextTryMs = FindNextClaim(call, _request);
            return false;
        }
    }
}
