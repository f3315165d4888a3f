using Millrace.Streams;

namespace Millrace.WorkQueues;

public sealed partial class JobQueue
{
    internal async ValueTask<CancelOutcome> CancelAsync(string id, CancellationToken cancellationToken)
    {
        var job = new JobReference(Name, id);
        var lost = 0;
        for (var tries = 1; ; tries++)
        {
            var view = await JobDocuments.ReadAsync(_store, job, cancellationToken).ConfigureAwait(false);
            if (Tell(view, wasOurs: lost > 0) is { } outcome)
                return outcome;
            var (commit, becomes) = await CancelAsync(view, cancellationToken).ConfigureAwait(false);
            try
            {
                var result = await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
                if (result.IsApplied)
                    return becomes;
                if (tries == MaxTries)
                    throw new StreamException(StreamErrorCode.Busy, $"The job {id} of '{Name}' changed {tries} times while it was to be cancelled.");
            }
            catch (StreamException exception) when (exception.Code == StreamErrorCode.OutcomeUnknown && ++lost <= MaxLostAnswers)
            {
                await Task.Delay(RetryDelay, _time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>What there is to say without doing anything.</summary>
    private static CancelOutcome? Tell(JobView view, bool wasOurs) => view switch
    {
        { Record: null } => CancelOutcome.NotFound,
        { Record.State: JobState.Cancelled } => wasOurs ? CancelOutcome.Cancelled : CancelOutcome.AlreadyCancelled,
        { Record.HasEnded: true } => CancelOutcome.TooLate,
        { Record.State: JobState.Running, IsCancelRequested: true } => wasOurs ? CancelOutcome.Requested : CancelOutcome.AlreadyRequested,
        _ => null,
    };

    /// <summary>A job that runs is its worker's, who is told; any other ends here and now, and its entry, wherever it waits, is passed over.</summary>
    private async ValueTask<(Commit Commit, CancelOutcome Becomes)> CancelAsync(JobView view, CancellationToken cancellationToken)
    {
        List<CommitCondition> conditions = [view.SameRecord];
        if (view.Record!.State == JobState.Running)
        {
            conditions.Add(view.SameRequests);
            var requests = (view.Requests ?? new()) with { Cancel = true };
            return (
                new() { Conditions = conditions, Changes = [JobDocuments.Put(view.Job, requests), JobNames.Note(view.Job, JobNames.Cancel)] },
                CancelOutcome.Requested);
        }

        List<CommitChange> changes = [];
        await _ending.AddAsync(view, view.Record with { State = JobState.Cancelled }, conditions, changes, cancellationToken).ConfigureAwait(false);
        if (view.Record.State == JobState.Blocked)
            changes.Add(new CommitChange.DeleteState(JobNames.Entry(view.Job)));
        return (new() { Conditions = conditions, Changes = changes }, CancelOutcome.Cancelled);
    }
}
