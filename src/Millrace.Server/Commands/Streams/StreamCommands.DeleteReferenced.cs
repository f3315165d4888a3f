using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>XDELEX.</summary>
internal static partial class StreamCommands
{
    private static void DeleteReferenced(ref CommandCall call)
    {
        ReferencePolicy? policy = null;
        var (firstId, count) = (0, 0);
        for (var i = 2; i < call.Count; i++)
        {
            if (firstId == 0 && call.Is(i, "IDS"u8) && i + 1 < call.Count)
            {
                if (!TryIdCount(call, i + 1, out count))
                    return;
                firstId = i + 2;
                i += 1 + count;
            }
            else if (policy is null && TryPolicy(call, i, out var read))
            {
                policy = read;
            }
            else
            {
                call.Error(Errors.Syntax);
                return;
            }
        }

        if (firstId == 0)
            call.Error("ERR IDS option is required");
        else if (call.TryFind<StreamValue>(1, out var stream) && call.TryIds(firstId, firstId + count, out var ids))
            WriteOutcomes(call, stream?.Key ?? call.Text(1), policy ?? ReferencePolicy.Keep, ids);
    }

    /// <summary>Whether an argument names a policy.</summary>
    internal static bool TryPolicy(in CommandCall call, int index, out ReferencePolicy policy)
    {
        policy = call.Is(index, "DELREF"u8) ? ReferencePolicy.Delete
            : call.Is(index, "ACKED"u8) ? ReferencePolicy.Acked
            : ReferencePolicy.Keep;
        return policy != ReferencePolicy.Keep || call.Is(index, "KEEPREF"u8);
    }

    /// <summary>The number after IDS, which must have as many arguments behind it; otherwise the error is written.</summary>
    internal static bool TryIdCount(in CommandCall call, int index, out int count)
    {
        count = 0;
        if (!Numbers.TryParseInt64(call[index], out var number) || number < 1)
        {
            call.Error("ERR Number of IDs must be a positive integer");
            return false;
        }

        if (number > call.Count - index - 1)
        {
            call.Error("ERR The `numids` parameter must match the number of arguments");
            return false;
        }

        count = (int)number;
        return true;
    }

    private static void WriteOutcomes(in CommandCall call, string key, ReferencePolicy policy, EntryId[] ids)
    {
        var outcomes = call.Apply<DeleteReferenced, DeleteOutcome[]>(new(key, policy, ids));
        call.Reply.WriteArray(outcomes.Length);
        foreach (var outcome in outcomes)
            call.Reply.WriteInteger((long)outcome);
    }
}
