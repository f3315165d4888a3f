using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>
/// What the commit in which a job ends does besides: the record gets its time to live, the unique key is given back, waiters are told, and the jobs
/// that are to run after it are let go.
/// </summary>
internal sealed class JobEnding(IStreamStore store, JobQueueOptions options, TimeProvider time)
{
    /// <summary>Adds the end of a job that nobody wants anything of; a commit that finds it otherwise conflicts.</summary>
    public void AddPlain(JobReference job, JobRecord ended, List<CommitCondition> conditions, List<CommitChange> changes)
    {
        conditions.Add(CommitCondition.StateAbsent(JobNames.Requests(job)));
        AddEnd(job, ended, Retention(ended), changes);
    }

    /// <summary>Adds the end of a job as it was read. One round trip where others are to run after it.</summary>
    public async ValueTask AddAsync(
        JobView view, JobRecord ended, List<CommitCondition> conditions, List<CommitChange> changes, CancellationToken cancellationToken)
    {
        conditions.Add(view.SameRequests);
        var staying = await LetGoAsync(view, ended, conditions, changes, cancellationToken).ConfigureAwait(false);

        // A child that stays blocked is found again by a redrive: its parent is remembered for as long as that takes.
        AddEnd(view.Job, ended, staying.Count > 0 ? null : Retention(ended), changes);
        if (staying.Count > 0)
            changes.Add(JobDocuments.Put(view.Job, new JobRequests { Children = staying }));
        else if (view.Requests is not null)
            changes.Add(new CommitChange.DeleteState(JobNames.Requests(view.Job)));
    }

    /// <summary>
    /// Takes a job off what its children wait for. One that must fail goes to its queue as well, where whoever gets it ends it: a long chain ends link by
    /// link, each in a commit of bounded size.
    /// </summary>
    /// <returns>The children that stay blocked by it.</returns>
    private async ValueTask<List<JobReference>> LetGoAsync(
        JobView view, JobRecord ended, List<CommitCondition> conditions, List<CommitChange> changes, CancellationToken cancellationToken)
    {
        List<JobReference> staying = [];
        if (view.Requests is not { Children: { Count: > 0 } references })
            return staying;
        var children = await JobDocuments.ReadAsync(store, references, cancellationToken).ConfigureAwait(false);
        var entries = await store.GetStatesAsync([.. references.Select(JobNames.Entry)], cancellationToken).ConfigureAwait(false);
        for (var i = 0; i < children.Count; i++)
        {
            // Cancelled meanwhile, or let go by a run of ours whose answer was lost: nothing is owed to it.
            if (children[i].Record is not { State: JobState.Blocked } child || entries[i] is not { } entry)
                continue;
            if (ended.State != JobState.Succeeded && child.OnParentFailure == ParentFailure.Stay)
            {
                staying.Add(references[i]);
                continue;
            }

            conditions.Add(children[i].SameRecord);
            var mustFail = ended.State != JobState.Succeeded && child.OnParentFailure == ParentFailure.Fail;
            changes.AddRange(Advance(references[i], child, view.Job, mustFail, EntryFields.FromPacked(entry.Payload)));
        }

        return staying;
    }

    private IEnumerable<CommitChange> Advance(JobReference job, JobRecord child, JobReference parent, bool mustFail, EntryFields entry)
    {
        var left = (child.BlockedBy ?? []).Where(other => other != parent).ToList();
        if (left.Count > 0 && !mustFail)
            return [JobDocuments.Put(job, child with { BlockedBy = left })];
        var released = child with { BlockedBy = null, FailedParent = mustFail ? $"{parent.Queue}/{parent.Id}" : null };
        return [.. Enqueue(job, released, entry), new CommitChange.DeleteState(JobNames.Entry(job))];
    }

    /// <summary>Puts a job that nothing blocks into its queue, now or when its delay is over.</summary>
    public IEnumerable<CommitChange> Enqueue(JobReference job, JobRecord record, EntryFields entry)
    {
        if (record is not { Delay: { } delay, FailedParent: null } || delay == TimeSpan.Zero)
            return [JobDocuments.Put(job, record with { State = JobState.Waiting, Delay = null }), new CommitChange.Append(job.Queue, entry)];
        var due = JobDocuments.Milliseconds(time) + (long)delay.TotalMilliseconds;
        return
        [
            JobDocuments.Put(job, record with { State = JobState.Delayed, DueAt = due, Delay = null }),
            new CommitChange.Schedule(job.Queue, entry, delay),
        ];
    }

    private TimeSpan Retention(JobRecord ended) => ended.State == JobState.Failed ? options.FailedRetention : ended.Retention ?? options.Retention;

    private void AddEnd(JobReference job, JobRecord ended, TimeSpan? retention, List<CommitChange> changes)
    {
        var keepsKey = ended is { HoldsKey: true, UniqueUntil: UniqueUntil.Forgotten };
        changes.Add(JobDocuments.Put(
            job,
            ended with { EndedAt = JobDocuments.Milliseconds(time), BlockedBy = null, Delay = null, HoldsKey = keepsKey },
            retention));
        if (ended is { HoldsKey: true, UniqueKey: { } key })
        {
            var unique = JobNames.Unique(job.Queue, key);
            changes.Add(keepsKey
                ? new CommitChange.PutState(unique, UniqueHolder.Write(job.Id, isWindow: false), retention)
                : new CommitChange.DeleteState(unique));
        }

        changes.Add(JobNames.Note(job, JobNames.Ended));
    }
}
