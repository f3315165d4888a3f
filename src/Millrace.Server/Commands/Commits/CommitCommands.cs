using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Commits;

/// <summary>
/// The commands that stand in for the Lua scripts of Millrace.Redis, one for each, with the script's keys, arguments and answer:
/// <c>EVALSHA hash 1 orders …</c> there is <c>MILLRACE.CLAIM 1 orders …</c> here. This file has the commits, the rest is in
/// <c>CommitCommands.Streams.cs</c>.
/// </summary>
internal static partial class CommitCommands
{
    private const CommandFlags Writes = CommandFlags.Write | CommandFlags.MovableKeys;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("millrace.ackanddelete", -5, Writes, 2, 2, 1, "stream", AckAndDelete)
        {
            Group = "stream",
            Summary = "Acknowledges entries and deletes those that were pending.",
        },
        new("millrace.claim", -6, Writes, 2, 2, 1, "stream", Claim)
        {
            Group = "stream",
            Summary = "Takes pending entries over and names those that were deleted.",
        },
        new("millrace.commit", -5, Writes, 0, 0, 0, "stream", Commit, FindKeys: FindKeys)
        {
            Group = "stream",
            Summary = "Applies commits: conditions and changes, each all together or not at all.",
        },
        new("millrace.deletestream", 3, Writes, 2, 2, 1, "keyspace stream", DeleteStream)
        {
            Group = "stream",
            Summary = "Deletes a key if it holds a stream.",
        },
        new("millrace.extend", -5, Writes, 2, 2, 1, "stream", Extend)
        {
            Group = "stream",
            Summary = "Sets the idle time of entries back that the consumer still holds.",
        },
        new("millrace.onstream", -6, Writes, 2, 2, 1, "stream", OnStream)
        {
            Group = "stream",
            Summary = "Runs XINFO or XGROUP on a stream; null when there is none.",
        },
        new("millrace.schedule", 3, CommandFlags.ReadOnly | CommandFlags.MovableKeys, 2, 2, 1, "stream", Schedule)
        {
            Group = "stream",
            Summary = "Counts what a schedule holds and says when the first of it is due.",
        },
    ];

    /// <summary>The keys that the number in front of them counts.</summary>
    private static void FindKeys(ref CommandCall call, List<int> keys)
    {
        if (!Numbers.TryParseInt64(call[1], out var count))
            return;
        for (var i = 2; i < call.Count && i - 2 < count; i++)
            keys.Add(i);
    }

    /// <summary>
    /// Applies commits in order, each on its own. Answers a list for each: <c>[0, id…]</c> applied, with the IDs of its appended entries;
    /// <c>[1, index]</c> the condition that did not hold; <c>[2, error]</c> refused, nothing changed. When memory is used up, those are refused
    /// that need more; one that acknowledges must pass, or nothing would ever become less.
    /// </summary>
    private static void Commit(ref CommandCall call)
    {
        var arguments = new CommitArguments(call);
        if (!arguments.TryRead(out var commits))
            return;
        call.Reply.WriteArray(commits.Length);
        foreach (var commit in commits)
            WriteResult(ref call, commit, call.Store.CommitNeedsLock(commit, call.NowMs));
    }

    private static void WriteRefusal(ref CommandCall call, string error)
    {
        call.Reply.WriteArray(2);
        call.Reply.WriteInteger(2);
        call.WriteText(error);
    }

    private static void WriteResult(ref CommandCall call, Commit commit, CommitResult result)
    {
        if (result.IsApplied)
        {
            call.Reply.WriteArray(1 + result.Ids.Count);
            call.Reply.WriteInteger(0);
            foreach (var id in result.Ids)
                call.WriteId(id);
            return;
        }

        if (result.Conflict is not { } conflict)
        {
            WriteRefusal(ref call, Refusal(result.Failure!));
            return;
        }

        call.Reply.WriteArray(2);
        call.Reply.WriteInteger(1);
        call.Reply.WriteInteger(commit.Conditions.TakeWhile(condition => condition != conflict).Count());
    }

    /// <summary>As an error reply, but told in more words than Redis has, and with codes for what it has none for.</summary>
    private static string Refusal(StreamException failure) => failure.Code switch
    {
        StreamErrorCode.WrongType => $"WRONGTYPE {failure.Message}",
        StreamErrorCode.IdNotIncreasing => $"IDNOTINC {failure.Message}",
        StreamErrorCode.LimitExceeded => $"LIMIT {failure.Message}",
        StreamErrorCode.Busy => $"BUSY {failure.Message}",
        _ => Errors.From(failure),
    };
}
