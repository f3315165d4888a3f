using Millrace.Redis.Commands;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis;

public sealed partial class RedisStreamStore
{
    // What one script run may hold of commits; a single larger commit runs alone. Redis serves nobody else meanwhile: about 3 ms for so
    // many changes and conditions. The bytes bound what it must buffer before it can start.
    private const int MaxRunChanges = 1_000;
    private const long MaxRunBytes = 4 * 1024 * 1024;

    // Redis closes the connection on a command of more than 1,048,576 arguments.
    private const long MaxRunArguments = 1_000_000;

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<CommitResult>> CommitAsync(
        IReadOnlyList<Commit> commits, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckBatch(commits);
        foreach (var commit in commits)
            CheckCommit(commit);
        if (commits.Count == 0)
            return [];

        try
        {
            var results = await RunAsync(commits, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < results.Count; i++)
            {
                if (results[i].IsApplied)
                    WatchSchedules(commits[i]);
            }

            return results;
        }
        catch
        {
            // What may have been applied must be promoted all the same.
            foreach (var commit in commits)
                WatchSchedules(commit);
            throw;
        }
    }

    private async ValueTask<List<CommitResult>> RunAsync(IReadOnlyList<Commit> commits, CancellationToken cancellationToken)
    {
        var runs = SplitIntoRuns([.. commits], out var bytes);
        var replies = await CallAsync(runs, bytes, cancellationToken).ConfigureAwait(false);
        var results = new List<CommitResult>(commits.Count);
        for (var i = 0; i < runs.Count; i++)
            results.AddRange(await ReadRunAsync(runs[i], replies[i], cancellationToken).ConfigureAwait(false));
        return results;
    }

    /// <summary>Sends each run as a call, all in one round trip.</summary>
    private async ValueTask<RespReply[]> CallAsync(IReadOnlyList<ArraySegment<Commit>> runs, long bytes, CancellationToken cancellationToken)
    {
        var capacity = (int)Math.Min(bytes, 2 * MaxRunBytes);
        using var buffer = RespBuffer.Rent(capacity);
        var calls = new (LuaScript, RespCommand)[runs.Count];
        for (var i = 0; i < calls.Length; i++)
            calls[i] = (LuaScript.Commit, new CommitCommand(runs[i]).Encode(buffer, capacity / calls.Length));
        return await _client.CallManyAsync(calls, cancellationToken).ConfigureAwait(false);
    }

    private static void CheckCommit(Commit commit)
    {
        StreamArguments.CheckCommit(commit);
        var (arguments, _) = CommitCommand.Measure(commit);
        if (arguments > MaxRunArguments)
            throw new ArgumentException(
                $"One commit on Redis passes at most {MaxRunArguments:N0} names and values; this one has about {arguments:N0}.",
                nameof(commit));
    }

    /// <param name="commits">All of them.</param>
    /// <param name="allBytes">What they take on the wire, roughly.</param>
    private static List<ArraySegment<Commit>> SplitIntoRuns(Commit[] commits, out long allBytes)
    {
        var runs = new List<ArraySegment<Commit>>();
        allBytes = 0;
        int start = 0, changes = 0;
        long bytes = 0, arguments = 0;
        var grew = true;
        for (var i = 0; i < commits.Length; i++)
        {
            var size = commits[i].Changes.Count + commits[i].Conditions.Count;
            var (commitArguments, commitBytes) = CommitCommand.Measure(commits[i]);
            var grows = CommitCommand.Grows(commits[i]);

            // Redis looks at its memory at the first write of a run only: behind a commit that needs none, an append would always pass.
            var isFull = changes + size > MaxRunChanges
                || bytes + commitBytes > MaxRunBytes
                || arguments + commitArguments > MaxRunArguments;
            if (i > start && (isFull || (grows && !grew)))
            {
                runs.Add(new(commits, start, i - start));
                start = i;
                (changes, bytes, arguments) = (0, 0, 0);
            }

            changes += size;
            bytes += commitBytes;
            allBytes += commitBytes;
            arguments += commitArguments;
            grew = grows;
        }

        runs.Add(new(commits, start, commits.Length - start));
        return runs;
    }

    private async ValueTask<IEnumerable<CommitResult>> ReadRunAsync(
        ArraySegment<Commit> run, RespReply reply, CancellationToken cancellationToken)
    {
        if (!reply.IsError)
            return CommitCommand.Read(reply, run);

        var refusal = RedisErrors.ToException("the commits", reply);
        switch (refusal.Code)
        {
            // Redis compares the keys of the whole run with the user's rights, and in a cluster with each other, before it starts the
            // script. One commit's keys must not fail its neighbours: each is asked on its own.
            case StreamErrorCode.PermissionDenied or StreamErrorCode.CrossSlot when run.Count > 1:
                return await CommitOneByOneAsync(run, cancellationToken).ConfigureAwait(false);

            // The script broke off: what came before that in the run may have been applied. Or it ran, and the server could not keep what it did.
            case StreamErrorCode.ServerError or StreamErrorCode.OutcomeUnknown:
                throw new StreamException(StreamErrorCode.OutcomeUnknown, refusal.Message, refusal);

            // Refused before the script started.
            default:
                return run.Select(_ => CommitResult.Failed(refusal));
        }
    }

    private async ValueTask<IEnumerable<CommitResult>> CommitOneByOneAsync(ArraySegment<Commit> run, CancellationToken cancellationToken)
    {
        RespReply[] replies;
        try
        {
            replies = await CallAsync([.. run.Select((_, i) => run.Slice(i, 1))], run.Sum(commit => CommitCommand.Measure(commit).Bytes), cancellationToken)
                .ConfigureAwait(false);
        }
        catch (StreamException exception) when (exception.Code != StreamErrorCode.OutcomeUnknown)
        {
            // None of these was applied. Their neighbours of the first trip may have been, and have their own results.
            return run.Select(_ => CommitResult.Failed(exception));
        }

        var results = new List<CommitResult>(run.Count);
        for (var i = 0; i < run.Count; i++)
            results.AddRange(await ReadRunAsync(run.Slice(i, 1), replies[i], cancellationToken).ConfigureAwait(false));
        return results;
    }

    private void WatchSchedules(Commit commit)
    {
        for (var i = 0; i < commit.Changes.Count; i++)
        {
            var change = commit.Changes[i];
            if (change is CommitChange.Schedule schedule)
                _schedules.Expect(schedule.Stream, schedule.Delay);
            else if (change is CommitChange.Release release && release.Delay > TimeSpan.Zero)
                _schedules.Expect(StreamNames.Again(release.Stream, release.Group), release.Delay);
        }
    }
}
