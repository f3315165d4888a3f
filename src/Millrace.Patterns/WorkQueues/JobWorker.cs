using System.Text.Json;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>
/// The job's side of a delivery: begins the job, calls the handler, and says in the commit that settles the message what became of the job.
/// Retries, leases and dead letters are the consumer group's.
/// </summary>
internal sealed class JobWorker(JobQueue queue, IStreamStore store, JobQueueOptions options, JobEnding ending, TimeProvider time, ILogger logger)
{
    private readonly JobStarter _starter = new(store, time);
    private readonly LogLimit _progressFailures = new(time);

    /// <summary>Runs one attempt. <paramref name="handle"/> gives what the handler returned as JSON, or nothing.</summary>
    public async Task RunAsync(
        MessageContext message, Func<JobContext, CancellationToken, Task<JsonElement?>> handle, CancellationToken cancellationToken)
    {
        var job = new JobReference(queue.Name, message.MessageId);
        using var run = new JobRun(job, store, options.ProgressInterval, time, logger, _progressFailures);
        message.Tag = run;

        // First, so that no wish to cancel falls between the start and the listening.
        await queue.Notes.FollowAsync(cancellationToken).ConfigureAwait(false);
        queue.Notes.Add(run);
        try
        {
            if (await _starter.BeginAsync(run, message, cancellationToken).ConfigureAwait(false))
                await HandleAsync(run, message, handle, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            queue.Notes.Remove(run);
            await run.EndAsync().ConfigureAwait(false);
        }
    }

    private async Task HandleAsync(
        JobRun run, MessageContext message, Func<JobContext, CancellationToken, Task<JsonElement?>> handle, CancellationToken cancellationToken)
    {
        var timeLimit = run.Record!.TimeLimit ?? options.TimeLimit;
        using var limit = new CancellationTokenSource(timeLimit, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, limit.Token, run.Cancelled);
        try
        {
            run.Result = await handle(new(new(queue, run.Job.Id, isNew: false), run, message), either.Token).ConfigureAwait(false);
        }
        catch (Exception) when (run.Cancelled.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // What the handler had gathered must not be committed: the message runs again at once, and that run finds that the job is to end.
            throw new CommitConflictException(CommitCondition.StateAbsent(JobNames.Requests(run.Job)));
        }
        catch (OperationCanceledException exception) when (limit.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"The job took longer than its time limit of {timeLimit}.", exception);
        }
    }

    /// <summary>See <see cref="ConsumerOptions.OnSettling"/>.</summary>
    public async ValueTask SettleAsync(Settling settling, CancellationToken cancellationToken)
    {
        var job = new JobReference(queue.Name, settling.Message.MessageId);
        var run = settling.Message.Tag as JobRun;
        List<CommitCondition> conditions = [];
        List<CommitChange> changes = [];
        if (settling.Outcome == SettlingOutcome.Acknowledged)
        {
            await EndAsync(job, run, settling.Run == 1, conditions, changes, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await FailAsync(job, run, settling, conditions, changes, cancellationToken).ConfigureAwait(false);
        }
        conditions.ForEach(settling.Require);
        changes.ForEach(settling.Enlist);
    }

    private async ValueTask EndAsync(
        JobReference job, JobRun? run, bool isFirst, List<CommitCondition> conditions, List<CommitChange> changes, CancellationToken cancellationToken)
    {
        // Without a record the run was none: the job had ended before.
        if (run is not { Record: { } record })
            return;
        var ended = record with
        {
            State = run.Ending,
            Result = run.Result,
            Progress = run.Progress ?? record.Progress,
            FailureReason = run.EndingReason,
        };
        if (run.Ending == JobState.Succeeded && isFirst && !run.HasRequests)
        {
            ending.AddPlain(job, ended, conditions, changes);
            return;
        }

        var view = await JobDocuments.ReadAsync(store, job, cancellationToken).ConfigureAwait(false);
        if (run.Ending != JobState.Succeeded)
        {
            // It never began here, so others may have ended it meanwhile.
            if (view.Record is { HasEnded: true })
                return;
            conditions.Add(view.SameRecord);
        }

        await ending.AddAsync(view, ended, conditions, changes, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>An attempt failed, or the message did before a handler saw it. Rare, so it is read how the job stands.</summary>
    private async ValueTask FailAsync(
        JobReference job,
        JobRun? run,
        Settling settling,
        List<CommitCondition> conditions,
        List<CommitChange> changes,
        CancellationToken cancellationToken)
    {
        var view = await JobDocuments.ReadAsync(store, job, cancellationToken).ConfigureAwait(false);

        // One that failed and was redriven may fail again before it began; that is written, so that the redrive does not say later that it waits.
        if (view.Record is not { State: not JobState.Succeeded and not JobState.Cancelled } record)
            return;
        var now = time.GetUtcNow();
        conditions.Add(view.SameRecord);
        record = record.WithError(settling.Message.Attempt, now, settling.Error) with { Progress = run?.Progress ?? record.Progress };
        if (settling.Outcome == SettlingOutcome.DeadLettered)
        {
            record = record with { State = JobState.Failed, FailureReason = settling.Reason };
        }
        else if (view.IsCancelRequested)
        {
            // Whoever asked while the attempt failed need not wait for the next: that one finds that the job has ended.
            record = record with { State = JobState.Cancelled };
        }
        else
        {
            conditions.Add(view.SameRequests);
            var delay = settling.Delay ?? TimeSpan.Zero;
            changes.Add(JobDocuments.Put(job, record with { State = JobState.Delayed, DueAt = (now + delay).ToUnixTimeMilliseconds() }));
            return;
        }

        await ending.AddAsync(view, record, conditions, changes, cancellationToken).ConfigureAwait(false);
    }
}
