using Millrace.Server.Connections;
using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Streams;

/// <summary>XREAD.</summary>
internal static partial class StreamCommands
{
    private static void Read(ref CommandCall call)
    {
        if (!TryReadOptions(call, out var limits, out var blockMs, out var firstKey))
            return;
        var count = (call.Count - firstKey) / 2;
        if (count == 0 || (call.Count - firstKey) % 2 != 0)
        {
            call.Error("ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.");
            return;
        }

        if (!limits.TryFinish(call))
            return;
        var reads = new StreamRead[count];
        for (var i = 0; i < count; i++)
        {
            if (!TryPosition(call, firstKey + i, firstKey + count + i, out reads[i]))
                return;
        }

        if (TryWriteRead(call, reads, limits))
            return;
        if (blockMs is not { } block || !call.MayBlock)
            call.Reply.WriteNullArray();
        else
            call.Block(new BlockedXread(call.Client, call.ToStored(), reads, limits), block == 0 ? null : TimeSpan.FromMilliseconds(block));
    }

    /// <summary>The options before the keys; otherwise the error is written.</summary>
    private static bool TryReadOptions(in CommandCall call, out ReadLimits limits, out long? blockMs, out int firstKey)
    {
        (limits, blockMs, firstKey) = (default, null, 0);
        for (var i = 1; i < call.Count; i++)
        {
            var hasMore = i + 1 < call.Count;
            if (hasMore && call.Is(i, "STREAMS"u8))
            {
                firstKey = i + 1;
                return true;
            }

            if (limits.TryRead(call, ref i, out var isError))
            {
                if (isError)
                    return false;
            }
            else if (hasMore && call.Is(i, "BLOCK"u8))
            {
                if (!call.TryTimeoutMs(++i, out var block))
                    return false;
                blockMs = block;
            }
            else
            {
                call.Error(UnknownOption(call, i));
                return false;
            }
        }

        call.Error(Errors.Syntax);
        return false;
    }

    /// <summary>What to say of an option that XREAD does not have: that of XREADGROUP is told apart.</summary>
    private static string UnknownOption(in CommandCall call, int index)
    {
        var option = call.Is(index, "GROUP"u8) && index + 2 < call.Count ? "GROUP"
            : call.Is(index, "NOACK"u8) ? "NOACK"
            : call.Is(index, "CLAIM"u8) && index + 1 < call.Count ? "CLAIM"
            : null;
        return option is null ? Errors.Syntax
            : $"ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.";
    }

    /// <summary>Where the read of a key starts; otherwise the error is written.</summary>
    private static bool TryPosition(in CommandCall call, int keyAt, int idAt, out StreamRead read)
    {
        read = default;
        if (!call.TryFind<StreamValue>(keyAt, out var stream))
            return false;
        var after = EntryId.Zero;
        if (call[idAt] is [(byte)'>'])
        {
            call.Error("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.");
            return false;
        }

        if (call[idAt] is [(byte)'$'])
            after = stream?.LastGeneratedId ?? EntryId.Zero;
        else if (call[idAt] is [(byte)'+'])
            after = stream is null or { Entries.Count: 0 } ? stream?.LastGeneratedId ?? EntryId.Zero : stream.Entries.LastId.Previous();
        else if (!call.TryId(idAt, out after))
            return false;
        read = new(stream?.Key ?? call.Text(keyAt), after);
        return true;
    }

    /// <summary>Writes what there is after the positions, key by key. False, with nothing written, when there is nothing.</summary>
    private static bool TryWriteRead(in CommandCall call, StreamRead[] reads, ReadLimits limits)
    {
        Span<int> counts = reads.Length <= 64 ? stackalloc int[reads.Length] : new int[reads.Length];
        var streams = Plan(call, reads, limits, counts);
        if (streams == 0)
            return false;
        if (call.IsResp3)
            call.Reply.WriteMap(streams);
        else
            call.Reply.WriteArray(streams);
        for (var i = 0; i < reads.Length; i++)
        {
            if (counts[i] == 0 || !HasMore(call, reads[i], out var stream))
                continue;
            if (!call.IsResp3)
                call.Reply.WriteArray(2);
            call.WriteText(reads[i].Key);
            call.WriteEntries(stream!.Entries, reads[i].After.Next(), EntryId.Max, counts[i]);
        }

        return true;
    }

    /// <summary>Finds how many entries of each stream to write at most, and returns of how many streams there are any.</summary>
    private static int Plan(in CommandCall call, StreamRead[] reads, ReadLimits limits, Span<int> counts)
    {
        var budget = limits.Begin();
        var streams = 0;
        for (var i = 0; i < reads.Length && !budget.IsUsedUp; i++)
        {
            if (!HasMore(call, reads[i], out var stream))
                continue;
            budget.BeginStream(reads[i].Key);
            counts[i] = budget.Take(stream!.Entries, reads[i].After.Next(), limits.Count);
            streams++;
        }

        return streams;
    }

    private static bool HasMore(in CommandCall call, StreamRead read, out StreamValue? stream)
    {
        stream = call.Engine.Keyspace.Find(read.Key) as StreamValue;
        return stream is { Entries.Count: > 0 } && stream.Entries.LastId > read.After;
    }

    /// <summary>The keys of XREAD and XREADGROUP: the first half of what follows STREAMS.</summary>
    public static void FindReadKeys(ref CommandCall call, List<int> keys)
    {
        var at = 1;
        while (at < call.Count && !call.Is(at, "STREAMS"u8))
            at++;
        for (var i = at + 1; i <= at + ((call.Count - at - 1) / 2); i++)
            keys.Add(i);
    }

    /// <summary>A key and the entry after which it is read.</summary>
    private readonly record struct StreamRead(string Key, EntryId After);

    /// <summary>An XREAD that waits. A key that becomes another type, or goes, leaves it waiting.</summary>
    private sealed class BlockedXread(ClientConnection client, StoredRequest request, StreamRead[] reads, ReadLimits limits)
        : BlockedCommand(client, request, [.. reads.Select(read => read.Key)], null)
    {
        protected override bool TryRun(ref CommandCall call) => TryWriteRead(call, reads, limits);
    }
}
