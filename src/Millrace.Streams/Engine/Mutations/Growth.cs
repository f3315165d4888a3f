using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Which mutations need memory, so that a store without any refuses them. All others pass: what acknowledges, deletes, trims, delivers, claims or
/// expires, or nothing would ever become less.
/// </summary>
internal static class Growth
{
    /// <summary>Whether the mutation needs memory. A group that is there already needs none: who comes back must be able to consume.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public static bool NeedsMemory<TMutation>(in TMutation mutation, StreamEngine engine)
        where TMutation : struct, IMutation => mutation.Kind switch
        {
            MutationKind.Append or MutationKind.AppendMany or MutationKind.CreateConsumer => true,
            MutationKind.CreateGroup => mutation is CreateGroup create && engine.FindGroup(create.Stream, create.Group, out _) is null,
            MutationKind.Commit => mutation is ApplyCommit { Commit: var commit } && commit.NeedsMemory(),
            _ => false,
        };

    /// <summary>
    /// Whether the commit needs memory. As a whole: what else it does may not make up for it. The documents of upkeep count for nothing: there are a few
    /// a group, or one a message that was accepted before.
    /// </summary>
    public static bool NeedsMemory(this Commit commit)
    {
        for (var i = 0; i < commit.Changes.Count; i++)
        {
            if (commit.Changes[i] is CommitChange.Append or CommitChange.Release or CommitChange.Schedule
                || (commit.Changes[i] is CommitChange.PutState && !commit.IsUpkeep))
                return true;
        }

        return false;
    }

    /// <summary>Whether the commit helps consumers to go on, and so may use memory that publishers may not.</summary>
    public static bool MayUseReserve(this Commit commit) => commit.IsUpkeep || commit.Settles();

    /// <summary>Whether the commit publishes: adds an entry, now or later.</summary>
    public static bool Publishes(this Commit commit)
    {
        for (var i = 0; i < commit.Changes.Count; i++)
        {
            if (commit.Changes[i] is CommitChange.Append or CommitChange.Schedule)
                return true;
        }

        return false;
    }

    private static bool Settles(this Commit commit)
    {
        for (var i = 0; i < commit.Changes.Count; i++)
        {
            if (commit.Changes[i] is CommitChange.Ack or CommitChange.AckAndDelete or CommitChange.Release)
                return true;
        }

        return false;
    }
}
