using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Embedded;

/// <summary>Commits, and the state documents they write.</summary>
public sealed partial class EmbeddedStreamStore
{
    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<StateDocument?>> GetStatesAsync(
        IReadOnlyList<StateKey> keys, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckBatch(keys);
        foreach (var key in keys)
            StreamArguments.Check(key);
        return QueryAsync<IReadOnlyList<StateKey>, IReadOnlyList<StateDocument?>>(
            keys, static (engine, keys, _) => [.. keys.Select(key => engine.State(StreamNames.State(key)))], cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<ScheduleInfo> GetScheduleAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckSchedule(stream);
        return QueryAsync<string, ScheduleInfo>(
            StreamNames.Schedule(stream), static (engine, key, nowMs) => engine.Schedule(key, nowMs), cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<CommitResult>> CommitAsync(
        IReadOnlyList<Commit> commits, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckBatch(commits);
        foreach (var commit in commits)
            StreamArguments.CheckCommit(commit);
        if (commits.Count == 0)
            return [];

        cancellationToken.ThrowIfCancellationRequested();
        if (!IsReady)
            await WhenReadyAsync(cancellationToken).ConfigureAwait(false);

        var results = new CommitResult[commits.Count];
        WaitingWrite<IReadOnlyList<CommitResult>>? waiting = null;
        long lsn;
        lock (_lock)
        {
            var nowMs = EnterNeedsLock();
            try
            {
                if (MustWaitNeedsLock(commits))
                    waiting = CommitLaterNeedsLock(commits);
                for (var i = 0; i < results.Length && waiting is null; i++)
                    results[i] = CommitNeedsLock(commits[i], nowMs);
                if (waiting is null)
                    ThrowIfNoneWasTaken(results);
            }
            finally
            {
                lsn = LeaveNeedsLock(nowMs);
            }
        }

        return waiting is null
            ? await WhenDurableAsync<IReadOnlyList<CommitResult>>(lsn, results).ConfigureAwait(false)
            : await WaitAsync(waiting, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Whether commits wait for memory: those that publish. What settles a delivery, or is upkeep, has a reserve, and is refused at once when that is used
    /// up, too: who settles repeats it, and meanwhile goes on with what needs no memory.
    /// </summary>
    private bool MustWaitNeedsLock(IReadOnlyList<Commit> commits) =>
        _whenFull == WhenFull.Wait && IsTightNeedsLock && commits.Any(Growth.Publishes) && !commits.Any(Growth.MayUseReserve);

    private WaitingWrite<IReadOnlyList<CommitResult>> CommitLaterNeedsLock(IReadOnlyList<Commit> commits) => WaitNeedsLock<IReadOnlyList<CommitResult>>(
        nowMs => ThrowIfNoneWasTaken([.. commits.Select(commit => ApplyCommitNeedsLock(commit, nowMs))]));

    /// <summary>Where the journal refused them all, nothing is in doubt: it is told at once, and nobody waits for records of others.</summary>
    private static CommitResult[] ThrowIfNoneWasTaken(CommitResult[] results) =>
        Array.TrueForAll(results, static result => result.Failure is { Code: StreamErrorCode.ReadOnly }) ? throw results[0].Failure! : results;

    /// <summary>
    /// Applies a commit, unless it needs memory and there is none: then it is refused as a whole, with a conflict or an error of its own if it has one.
    /// </summary>
    internal CommitResult CommitNeedsLock(Commit commit, long nowMs) =>
        IsFullNeedsLock && commit.NeedsMemory() && !(commit.MayUseReserve() && HasReserveNeedsLock)
        ? new ApplyCommit(commit).FindRefusal(_engine, nowMs) ?? CommitResult.Failed(OutOfMemoryNeedsLock())
        : ApplyCommitNeedsLock(commit, nowMs);

    /// <summary>A commit that the journal does not take is refused alone; its neighbours go on, and those before it may be in the journal.</summary>
    private CommitResult ApplyCommitNeedsLock(Commit commit, long nowMs)
    {
        try
        {
            return ApplyNeedsLock<ApplyCommit, CommitResult>(new(commit), nowMs);
        }
        catch (StreamException e) when (e.Code is StreamErrorCode.LimitExceeded or StreamErrorCode.Busy or StreamErrorCode.ReadOnly)
        {
            return CommitResult.Failed(e);
        }
    }
}
