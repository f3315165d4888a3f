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
        long lsn;
        lock (_lock)
        {
            var nowMs = EnterNeedsLock();
            try
            {
                for (var i = 0; i < results.Length; i++)
                    results[i] = CommitNeedsLock(commits[i], nowMs);
            }
            finally
            {
                lsn = LeaveNeedsLock(nowMs);
            }
        }

        return await WhenDurableAsync<IReadOnlyList<CommitResult>>(lsn, results).ConfigureAwait(false);
    }

    /// <summary>A commit the journal has no place for is refused alone; its neighbours go on.</summary>
    internal CommitResult CommitNeedsLock(Commit commit, long nowMs)
    {
        try
        {
            return ApplyNeedsLock<ApplyCommit, CommitResult>(new(commit), nowMs);
        }
        catch (StreamException e) when (e.Code is StreamErrorCode.LimitExceeded or StreamErrorCode.Busy)
        {
            return CommitResult.Failed(e);
        }
    }
}
