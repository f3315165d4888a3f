using Millrace.Server.Connections;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>XREADGROUP.</summary>
internal static partial class GroupCommands
{
    /// <summary>What an XREADGROUP asks for. An ID of null means new entries.</summary>
    private sealed record GroupRequest(string Group, string Consumer, int Count, bool NoAck, string[] Keys, EntryId?[] After);

    /// <summary>The options in front of the streams.</summary>
    private ref struct ReadOptions
    {
        public int GroupAt;
        public int StreamsAt;
        public int Count;
        public long BlockMs;
        public bool NoAck;
    }

    private static void ReadGroup(ref CommandCall call)
    {
        if (!TryReadOptions(ref call, out var options))
            return;
        var count = (call.Count - options.StreamsAt) / 2;
        var request = new GroupRequest(
            call.Text(options.GroupAt), call.Text(options.GroupAt + 1), options.Count, options.NoAck, new string[count], new EntryId?[count]);
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
            call.Block(new BlockedGroupRead(call.Client, call.Command, request), ToLimit(options.BlockMs));
    }

    private static string NoGroupToRead(GroupRequest request, int index) =>
        NoGroup(request.Keys[index], request.Group, " in XREADGROUP with GROUP option");

    /// <summary>Null, for ever, is also what is longer than any timer.</summary>
    private static TimeSpan? ToLimit(long blockMs) =>
        blockMs == 0 || blockMs > TimeSpan.MaxValue.TotalMilliseconds / 2 ? null : TimeSpan.FromMilliseconds(blockMs);

    private static bool TryReadOptions(ref CommandCall call, out ReadOptions options)
    {
        options = new() { BlockMs = -1, Count = int.MaxValue };
        for (var i = 1; i < call.Count && options.StreamsAt == 0; i++)
        {
            var left = call.Count - i - 1;
            if (call.Is(i, "block"u8) && left > 0)
            {
                if (!TryTimeout(ref call, ++i, out options.BlockMs))
                    return false;
            }
            else if (call.Is(i, "count"u8) && left > 0)
            {
                if (!call.TryInteger(++i, out var value))
                    return false;
                options.Count = value <= 0 ? int.MaxValue : (int)Math.Min(value, int.MaxValue);
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
        return error is null;
    }

    private static bool TryTimeout(ref CommandCall call, int index, out long milliseconds)
    {
        if (!call.TryInteger(index, out milliseconds, "ERR timeout is not an integer or out of range"))
            return false;
        if (milliseconds < 0)
        {
            call.Error("ERR timeout is negative");
            return false;
        }

        if (milliseconds <= long.MaxValue - call.NowMs)
            return true;
        call.Error("ERR timeout is out of range");
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
        after = id;
        return isId;
    }

    /// <summary>Delivers and writes the reply, or returns false when there is nothing to say. The groups exist.</summary>
    private static bool TryDeliver(ref CommandCall call, GroupRequest request)
    {
        var streams = request.Keys.Length;
        var delivered = new DeliveredEntry[streams][];
        var history = new EntryId[streams][];
        var answers = 0;
        for (var i = 0; i < streams; i++)
        {
            if (request.After[i] is { } after)
                history[i] = call.Apply<ReadHistory, EntryId[]>(new(request.Keys[i], request.Group, request.Consumer, after, request.Count));
            else
                delivered[i] = call.Apply<ReadGroup, DeliveredEntry[]>(
                    new(request.Keys[i], request.Group, request.Consumer, request.Count, request.NoAck));
            if (delivered[i] is not { Length: 0 })
                answers++;
        }

        if (answers == 0)
            return false;
        if (call.IsResp3)
            call.Reply.WriteMap(answers);
        else
            call.Reply.WriteArray(answers);
        for (var i = 0; i < streams; i++)
        {
            if (delivered[i] is { Length: 0 })
                continue;
            if (!call.IsResp3)
                call.Reply.WriteArray(2);
            call.WriteText(request.Keys[i]);
            if (delivered[i] is not null)
                WriteEntries(ref call, delivered[i]);
            else
                WriteHistory(ref call, call.Engine.FindStream(request.Keys[i])!, history[i]);
        }

        return true;
    }

    private static void WriteEntries(ref CommandCall call, DeliveredEntry[] entries)
    {
        call.Reply.WriteArray(entries.Length);
        foreach (var entry in entries)
        {
            call.Reply.WriteArray(2);
            call.WriteId(entry.Id);
            call.Reply.WriteArray(2 * entry.Fields.Count);
            foreach (var field in entry.Fields)
            {
                call.Reply.WriteBulk(field.Name.Span);
                call.Reply.WriteBulk(field.Value.Span);
            }
        }
    }

    private static void WriteHistory(ref CommandCall call, StreamValue stream, EntryId[] ids)
    {
        call.Reply.WriteArray(ids.Length);
        foreach (var id in ids)
        {
            if (stream.Entries.TryFind(id, out var entry))
            {
                call.WriteEntry(in entry);
                continue;
            }

            call.Reply.WriteArray(2);
            call.WriteId(id);
            call.Reply.WriteNullArray();
        }
    }

    private static void FindStreams(ref CommandCall call, List<int> keys)
    {
        if (!TryReadOptions(ref call, out var options))
            return;
        for (var i = 0; i < (call.Count - options.StreamsAt) / 2; i++)
            keys.Add(options.StreamsAt + i);
    }

    /// <summary>An XREADGROUP that waits for new entries.</summary>
    private sealed class BlockedGroupRead(ClientConnection client, CommandInfo command, GroupRequest request)
        : BlockedCommand(client, command, request.Keys, request.Group)
    {
        protected override bool TryRun(ref CommandCall call)
        {
            for (var i = 0; i < request.Keys.Length; i++)
            {
                // A key of another type throws, which answers with its error.
                if (call.Engine.FindGroup(request.Keys[i], request.Group, out _) is not null)
                    continue;
                call.Error(NoGroupToRead(request, i));
                return true;
            }

            return TryDeliver(ref call, request);
        }
    }
}
