using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>
/// Begins jobs: each is read, and marked as running on the condition that it is as it was read, so that one that was cancelled never runs. Jobs that
/// begin while others are being marked share the next two round trips. Only the holder of the lease begins one: a failed job may be begun again, by a redrive.
/// </summary>
internal sealed class JobStarter(IStreamStore store, TimeProvider time)
{
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private List<Start> _gathering = [];
    private bool _isSending;

    /// <summary>Begins a job, for as long as it takes the store to answer: an outage uses up no attempt.</summary>
    /// <returns>Whether the handler is to run; otherwise the run says how the job ends, if that is not settled already.</returns>
    public async ValueTask<bool> BeginAsync(JobRun run, MessageContext message, CancellationToken cancellationToken)
    {
        while (true)
        {
            var start = new Start(run, message, Adopt(message));
            try
            {
                Send(start);
                if (await start.Outcome.Task.WaitAsync(cancellationToken).ConfigureAwait(false) is { } runs)
                    return runs;
            }
            catch (StreamException exception) when (exception.IsTransient || exception.Code == StreamErrorCode.OutcomeUnknown)
            {
                await Task.Delay(RetryDelay, time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private void Send(Start start)
    {
        lock (_lock)
        {
            _gathering.Add(start);
            if (_isSending)
                return;
            _isSending = true;
        }

        _ = SendAllAsync();
    }

    private async Task SendAllAsync()
    {
        while (true)
        {
            List<Start> batch;
            lock (_lock)
            {
                if (_gathering.Count == 0)
                {
                    _isSending = false;
                    return;
                }

                (batch, _gathering) = (_gathering, []);
            }

            try
            {
                await SendAsync(batch).ConfigureAwait(false);
            }
            catch (Exception exception)
            {
                // Each job learns it, and asks again or fails.
                batch.ForEach(start => start.Outcome.TrySetException(exception));
            }

            // The first batch is the caller's own, and it has a job to run; what came meanwhile is the pool's.
            await Task.Yield();
        }
    }

    private async Task SendAsync(List<Start> batch)
    {
        var views = await JobDocuments.ReadAsync(store, [.. batch.Select(start => start.Run.Job)], CancellationToken.None).ConfigureAwait(false);
        var holders = await ReadHoldersAsync(views).ConfigureAwait(false);
        List<(Start Start, Commit Commit)> begun = [];
        for (var i = 0; i < batch.Count; i++)
        {
            try
            {
                if (Decide(batch[i], views[i], holders.GetValueOrDefault(views[i])) is { } commit)
                    begun.Add((batch[i], commit));
            }
            catch (FormatException exception)
            {
                batch[i].Outcome.TrySetException(exception);
            }
        }

        if (begun.Count == 0)
            return;
        var results = await store.CommitAsync([.. begun.Select(one => one.Commit)], CancellationToken.None).ConfigureAwait(false);
        for (var i = 0; i < begun.Count; i++)
        {
            if (results[i].Failure is { } failure)
                begun[i].Start.Outcome.TrySetException(failure);
            else if (results[i].Conflict is { } conflict && conflict == begun[i].Start.KeyCondition)
                Refuse(begun[i].Start);
            else if (results[i].Conflict == begun[i].Start.Message.StillHeld)
                GiveUp(begun[i].Start);
            else
                begun[i].Start.Outcome.TrySetResult(results[i].IsApplied && !begun[i].Start.LooksAgain ? true : null);
        }
    }

    /// <summary>Who has the keys that jobs keep until they are forgotten. One round trip, for those alone.</summary>
    private async ValueTask<Dictionary<JobView, StateDocument?>> ReadHoldersAsync(IReadOnlyList<JobView> views)
    {
        var keeping = views.Where(static view => KeepsKey(view.Record)).ToList();
        if (keeping.Count == 0)
            return [];
        var keys = keeping.ConvertAll(static view => JobNames.Unique(view.Job.Queue, view.Record!.UniqueKey!));
        var documents = await store.GetStatesAsync(keys, CancellationToken.None).ConfigureAwait(false);
        return keeping.Zip(documents).ToDictionary(one => one.First, one => one.Second);
    }

    private static bool KeepsKey(JobRecord? record) => record is { HoldsKey: true, UniqueUntil: UniqueUntil.Forgotten, UniqueKey: not null };

    /// <summary>Another job has the unique key that this one would take: a firing of a recurring job is passed over, a redriven job stays failed.</summary>
    private static void Refuse(Start start)
    {
        const string reason = "another job has its unique key";
        if (!start.IsAdopted)
        {
            start.Outcome.TrySetException(new MessageRejectedException(reason));
            return;
        }

        (start.Run.Record, start.Run.Ending, start.Run.EndingReason) = (start.Run.Record! with { HoldsKey = false }, JobState.Cancelled, reason);
        start.Outcome.TrySetResult(false);
    }

    /// <summary>The lease is over, and others may have ended the job: it is none of this run's business.</summary>
    private static void GiveUp(Start start)
    {
        start.Run.Record = null;
        start.Outcome.TrySetResult(false);
    }

    /// <summary>What is to become of a job as it was read: told at once, or when the commit is applied.</summary>
    private Commit? Decide(Start start, JobView view, StateDocument? holder)
    {
        var (run, message) = (start.Run, start.Message);
        run.HasRequests = view.Requests is not null;
        run.Record = null; // What an earlier look found may not hold any more.
        start.IsAdopted = view.Record is null && start.Adopted is not null;
        var record = view.Record ?? start.Adopted;
        if (record is null or { State: JobState.Succeeded or JobState.Cancelled or JobState.Blocked })
            return Tell(start, false);
        if (view.IsCancelRequested || record.FailedParent is not null)
        {
            (run.Record, run.Ending) = (record, view.IsCancelRequested ? JobState.Cancelled : JobState.Failed);
            run.EndingReason = record.FailedParent is { } parent ? $"the job {parent}, which it was to run after, did not succeed" : null;
            return Tell(start, false);
        }

        if (record.State == JobState.Running && record.Worker == message.Consumer && record.Attempts == message.Attempt && message.DeliveryCount == 1)
        {
            // Another run of the same delivery; or the answer to the start was lost.
            run.Record = record;
            return Tell(start, true);
        }

        // The store lost the key, and another job took it: not ours any more, whatever the record says.
        if (holder is not null && UniqueHolder.Read(holder.Payload.Span).JobId != run.Job.Id)
        {
            start.LooksAgain = true;
            return new() { Conditions = [view.SameRecord], Changes = [JobDocuments.Put(run.Job, record with { HoldsKey = false })], IsUpkeep = true };
        }

        run.Record = record with
        {
            State = JobState.Running,
            Attempts = message.Attempt,
            StartedAt = JobDocuments.Milliseconds(time),
            EndedAt = null,
            Worker = message.Consumer,
            FailureReason = null,
        };
        List<CommitCondition> conditions = [message.StillHeld, view.SameRecord];
        List<CommitChange> changes = [];
        AddKey(start, record, holder, conditions, changes);
        changes.Add(JobDocuments.Put(run.Job, run.Record));
        return new() { Conditions = conditions, Changes = changes, IsUpkeep = true };
    }

    /// <summary>A key that is kept until the start is given back; one that a job lost with its failure is taken again by its redrive.</summary>
    private static void AddKey(Start start, JobRecord record, StateDocument? holder, List<CommitCondition> conditions, List<CommitChange> changes)
    {
        if (record.UniqueKey is not { } name)
            return;
        var run = start.Run;
        var key = JobNames.Unique(run.Job.Queue, name);
        if (record is { HoldsKey: true, UniqueUntil: UniqueUntil.Started })
        {
            changes.Add(new CommitChange.DeleteState(key));
            run.Record = run.Record! with { HoldsKey = false };
        }
        else if (KeepsKey(record))
        {
            // After a failure it has a time to live, which a redrive takes away.
            conditions.Add(JobDocuments.Unchanged(key, holder));
            changes.Add(new CommitChange.PutState(key, UniqueHolder.Write(run.Job.Id, isWindow: false)));
        }
        else if (record is { HoldsKey: false, UniqueUntil: not UniqueUntil.Started })
        {
            start.KeyCondition = CommitCondition.StateAbsent(key);
            conditions.Add(start.KeyCondition);
            changes.Add(new CommitChange.PutState(key, UniqueHolder.Write(run.Job.Id, isWindow: false)));
            run.Record = run.Record! with { HoldsKey = true };
        }
    }

    /// <summary>
    /// A record for a message that has none because it was published, by a recurring job or another program, or redriven when it had been forgotten.
    /// What was enqueued and is not known any more was cancelled before its time.
    /// </summary>
    private static JobRecord? Adopt(MessageContext message) =>
        message.Headers[JobNames.Header] is not null && !message.Fields.TryGet(EnvelopeFieldNames.Redrives, out _) ? null : JobQueue.Describe(message);

    private static Commit? Tell(Start start, bool runs)
    {
        start.Outcome.TrySetResult(runs);
        return null;
    }

    private sealed class Start(JobRun run, MessageContext message, JobRecord? adopted)
    {
        public JobRun Run => run;

        public MessageContext Message => message;

        /// <summary>The record to begin with where there is none.</summary>
        public JobRecord? Adopted => adopted;

        /// <summary>Whether the commit only puts the record right, and the job is to be looked at again.</summary>
        public bool LooksAgain { get; set; }

        /// <summary>That nobody else has the key of a job that takes it again.</summary>
        public CommitCondition? KeyCondition { get; set; }

        public bool IsAdopted { get; set; }

        /// <summary>Whether the handler is to run, or <see langword="null"/>: the job changed meanwhile.</summary>
        public TaskCompletionSource<bool?> Outcome { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
