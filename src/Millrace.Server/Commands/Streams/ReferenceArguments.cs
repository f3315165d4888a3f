using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Streams;

/// <summary>What XDELEX and XACKDEL are given: a policy for references, and IDs behind their number.</summary>
internal readonly record struct ReferenceArguments(ReferencePolicy Policy, int FirstId, int IdCount)
{
    /// <summary>The arguments from an index on; otherwise the error is written. The IDs are not looked at.</summary>
    public static bool TryRead(in CommandCall call, int first, out ReferenceArguments arguments)
    {
        ReferencePolicy? policy = null;
        var (firstId, count) = (0, 0);
        arguments = default;
        for (var i = first; i < call.Count; i++)
        {
            if (policy is null && TryPolicy(call, i, out var read))
            {
                policy = read;
            }
            else if (call.Is(i, "IDS"u8) && i + 1 < call.Count)
            {
                if (!TryIdCount(call, i + 1, out count))
                    return false;
                firstId = i + 2;
                i += 1 + count;
            }
            else
            {
                call.Error(Errors.Syntax);
                return false;
            }
        }

        if (firstId == 0)
        {
            call.Error("ERR IDS option is required");
            return false;
        }

        arguments = new(policy ?? ReferencePolicy.Keep, firstId, count);
        return true;
    }

    /// <summary>Whether an argument names a policy.</summary>
    public static bool TryPolicy(in CommandCall call, int index, out ReferencePolicy policy)
    {
        policy = call.Is(index, "DELREF"u8) ? ReferencePolicy.Delete
            : call.Is(index, "ACKED"u8) ? ReferencePolicy.Acked
            : ReferencePolicy.Keep;
        return policy != ReferencePolicy.Keep || call.Is(index, "KEEPREF"u8);
    }

    /// <summary>Writes what became of each entry.</summary>
    public static void WriteOutcomes(in CommandCall call, DeleteOutcome[] outcomes)
    {
        call.Reply.WriteArray(outcomes.Length);
        foreach (var outcome in outcomes)
            call.Reply.WriteInteger((long)outcome);
    }

    /// <summary>Writes that there is none of the entries.</summary>
    public void WriteAllMissing(in CommandCall call)
    {
        call.Reply.WriteArray(IdCount);
        for (var i = 0; i < IdCount; i++)
            call.Reply.WriteInteger((long)DeleteOutcome.Missing);
    }

    /// <summary>The number after IDS, which must have as many arguments behind it; otherwise the error is written.</summary>
    private static bool TryIdCount(in CommandCall call, int index, out int count)
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
}
