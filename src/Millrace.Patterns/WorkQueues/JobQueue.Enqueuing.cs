using System.Runtime.CompilerServices;
using System.Text.Json;
using Millrace.Streams;
using Written = System.Collections.Immutable.ImmutableDictionary<Millrace.Streams.StateKey, System.ReadOnlyMemory<byte>>;

namespace Millrace.WorkQueues;

public sealed partial class JobQueue
{
    /// <summary>
    /// Enqueues a job: its record, its entry, its unique key and what it is to run after, in one commit. One round trip; one or two more where there is a
    /// unique key that is taken, or there are jobs to run after. An answer that was lost is asked for again, so that no job is enqueued twice.
    /// </summary>
    /// <typeparam name="TJob">The job's class, which has a message name.</typeparam>
    /// <param name="job">The job.</param>
    /// <param name="options">More about it. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting; the job may still be enqueued.</param>
    /// <returns>The job, or the one there was already, see <see cref="Job.IsNew"/>.</returns>
    /// <exception cref="ArgumentException">The options are outside their bounds.</exception>
    /// <exception cref="InvalidOperationException">
    /// The class has no declared name, or a job it is to run after has <see cref="JobOptions.MaxChildren"/> such jobs already.
    /// </exception>
    /// <exception cref="JobNotFoundException">A job it is to run after is not known.</exception>
    /// <exception cref="StreamException">
    /// The store refused or failed. <see cref="StreamErrorCode.OutcomeUnknown"/>: it may have the job; enqueue it again under the same
    /// <see cref="JobOptions.Id"/>.
    /// </exception>
    public ValueTask<Job> EnqueueAsync<TJob>(TJob job, JobOptions? options = null, CancellationToken cancellationToken = default)
        where TJob : notnull => EnqueueAsync(Make(job, options, null), wasSent: false, cancellationToken);

    /// <summary>
    /// Enqueues jobs, each on its own, in one round trip for those without unique keys that are taken and jobs to run after.
    /// </summary>
    /// <typeparam name="TJob">The jobs' class.</typeparam>
    /// <param name="jobs">The jobs.</param>
    /// <param name="options">More about each of them; without an ID. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting; jobs may still be enqueued.</param>
    /// <returns>The jobs, in order.</returns>
    /// <exception cref="StreamException">The store refused or failed; some of the jobs may be enqueued.</exception>
    public async ValueTask<IReadOnlyList<Job>> EnqueueManyAsync<TJob>(
        IReadOnlyList<TJob> jobs, JobOptions? options = null, CancellationToken cancellationToken = default)
        where TJob : notnull
    {
        ArgumentNullException.ThrowIfNull(jobs);
        if (options?.Id is not null)
            throw new ArgumentException("Several jobs cannot share one ID.", nameof(options));
        List<Job> handles = new(jobs.Count);
        foreach (var batch in jobs.Chunk(MaxTogether))
        {
            NewJob[] made = [.. batch.Select(job => Make(job, options, null))];
            var results = options?.After.Count > 0 ? null : await TrySendAsync(made, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < made.Length; i++)
            {
                handles.Add(results?[i] is { IsApplied: true }
                    ? new(this, made[i].Reference.Id, isNew: true)
                    : await EnqueueAsync(made[i], wasSent: true, cancellationToken).ConfigureAwait(false));
            }
        }

        return handles;
    }

    /// <summary>
    /// Enqueues a job in the commit of a handler: with its acknowledgement, or not at all. One round trip now, to look whether there is such a job already.
    /// </summary>
    /// <typeparam name="TJob">The job's class.</typeparam>
    /// <param name="message">The message the handler handles; on a cluster, in the hash slot of the queue.</param>
    /// <param name="job">The job.</param>
    /// <param name="options">More about it. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The job as it will be, or the one there is already, also in the same commit.</returns>
    /// <exception cref="InvalidOperationException">
    /// It is to run after the job that is being handled; it does anyway, for this commit is that one's end.
    /// </exception>
    /// <exception cref="JobNotFoundException">A job it is to run after is not known; one of the same commit is not yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<Job> EnqueueAsync<TJob>(
        MessageContext message, TJob job, JobOptions? options = null, CancellationToken cancellationToken = default)
        where TJob : notnull
    {
        ArgumentNullException.ThrowIfNull(message);
        var made = Make(job, options, new() { CorrelationId = message.CorrelationId, CausationId = message.MessageId });
        if (made.Options.After.Contains(new(message.Stream, message.MessageId)))
        {
            throw new InvalidOperationException(
                $"The job {message.MessageId} of '{message.Stream}' ends with this commit; leave it out of {nameof(JobOptions.After)}.");
        }

        return await JoinAsync(message, made, message.Require, message.Enlist, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Enqueues a job in a commit: with the rest of it, or not at all. One round trip now, to look whether there is such a job already.</summary>
    /// <typeparam name="TJob">The job's class.</typeparam>
    /// <param name="commit">The commit; on a cluster, in the hash slot of the queue.</param>
    /// <param name="job">The job.</param>
    /// <param name="options">More about it. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The job as it will be, or the one there is already, also in the same commit.</returns>
    /// <exception cref="JobNotFoundException">A job it is to run after is not known; one of the same commit is not yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<Job> EnqueueAsync<TJob>(
        CommitScope commit, TJob job, JobOptions? options = null, CancellationToken cancellationToken = default)
        where TJob : notnull
    {
        ArgumentNullException.ThrowIfNull(commit);
        return await JoinAsync(commit, Make(job, options, null), commit.Require, commit.Enlist, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The options of a recurring job, to go with its firings.</summary>
    internal static Dictionary<string, string> HeadersOf(JobOptions options) => new()
    {
        [JobNames.OptionsHeader] = JsonSerializer.Serialize(
            Describe(options, DateTimeOffset.UnixEpoch) with { HoldsKey = false }, WorkQueueJson.Default.JobRecord),
    };

    /// <summary>The record of a job whose message was published and not enqueued.</summary>
    /// <exception cref="MessageRejectedException">What it says of its options is none.</exception>
    internal static JobRecord Describe(MessageContext message)
    {
        if (message.Headers[JobNames.OptionsHeader] is not { } options)
            return Describe(new JobOptions(), message.Time);
        try
        {
            return JsonSerializer.Deserialize(options, WorkQueueJson.Default.JobRecord)! with { EnqueuedAt = message.Time.ToUnixTimeMilliseconds() };
        }
        catch (JsonException exception)
        {
            throw new MessageRejectedException($"The header '{JobNames.OptionsHeader}' cannot be read: {exception.Message}");
        }
    }

    // A commit has a record, an entry and perhaps a key.
    private const int MaxTogether = 1_000;

    private static JobRecord Describe(JobOptions options, DateTimeOffset now) => new()
    {
        EnqueuedAt = now.ToUnixTimeMilliseconds(),
        UniqueKey = options.UniqueWindow is null ? options.UniqueKey : null,
        UniqueUntil = options.UniqueUntil,
        HoldsKey = options is { UniqueKey: not null, UniqueWindow: null },
        TimeLimit = options.TimeLimit,
        Retention = options.Retention,
        Delay = options.Delay,
        OnParentFailure = options.OnParentFailure,
    };

    private NewJob Make<TJob>(TJob job, JobOptions? options, PublishOptions? cause)
        where TJob : notnull
    {
        ArgumentNullException.ThrowIfNull(job);
        options ??= new();
        options.Check();
        var now = _time.GetUtcNow();
        var id = options.Id ?? Guid.CreateVersion7(now).ToString();
        var fields = _codec.Encode(job, (cause ?? new()) with
        {
            MessageId = id,
            CorrelationId = options.CorrelationId ?? cause?.CorrelationId,
            Headers = MarkAsJob,
        });
        return new(new(Name, id), fields, options, Describe(options, now));
    }

    private static readonly Dictionary<string, string> MarkAsJob = new() { [JobNames.Header] = "1" };

    /// <summary>Enqueues until the store says what became of it.</summary>
    private async ValueTask<Job> EnqueueAsync(NewJob job, bool wasSent, CancellationToken cancellationToken)
    {
        var lost = 0;
        var (looks, isInDoubt) = (wasSent, wasSent);
        for (var tries = 1; ; tries++)
        {
            var isSent = false;
            try
            {
                var plan = await PlanAsync(job, looks, cancellationToken).ConfigureAwait(false);
                if (plan.Existing is { } existing)
                    return new(this, existing, isNew: existing == job.Reference.Id && isInDoubt);
                isSent = true;
                var result = await _store.CommitAsync(plan.Commit!, cancellationToken).ConfigureAwait(false);
                if (result.IsApplied)
                    return new(this, job.Reference.Id, isNew: true);
                if (tries == MaxTries)
                    throw new StreamException(StreamErrorCode.Busy, $"What the job {job.Reference.Id} of '{Name}' depends on changed {tries} times.");
                looks = true;
            }
            catch (StreamException exception) when (
                (exception.Code == StreamErrorCode.OutcomeUnknown || (lost > 0 && exception.IsTransient)) && ++lost <= MaxLostAnswers)
            {
                looks = true;
                isInDoubt |= isSent && exception.Code == StreamErrorCode.OutcomeUnknown;
                await Task.Delay(RetryDelay * lost, _time, cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException exception) when (isInDoubt && exception.Code != StreamErrorCode.OutcomeUnknown)
            {
                throw new StreamException(StreamErrorCode.OutcomeUnknown, $"Whether '{Name}' has the job {job.Reference.Id} is not known.", exception);
            }
        }
    }

    /// <returns>What became of each, or <see langword="null"/>: nobody knows, and each is to be enqueued again.</returns>
    private async ValueTask<IReadOnlyList<CommitResult>?> TrySendAsync(NewJob[] jobs, CancellationToken cancellationToken)
    {
        List<Commit> commits = new(jobs.Length);
        foreach (var job in jobs)
            commits.Add((await PlanAsync(job, looks: false, cancellationToken).ConfigureAwait(false)).Commit!);
        try
        {
            return await _store.CommitAsync(commits, cancellationToken).ConfigureAwait(false);
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.OutcomeUnknown)
        {
            return null;
        }
    }

    // What jobs of whatever queue have put into a commit that is not sent yet. It is not in the store, and the next job of the commit builds on it.
    private static readonly ConditionalWeakTable<object, StrongBox<Written>> Joined = new();

    private async ValueTask<Job> JoinAsync(
        object commit, NewJob job, Action<CommitCondition> require, Action<CommitChange> enlist, CancellationToken cancellationToken)
    {
        var joined = Joined.GetValue(commit, static _ => new(Written.Empty));
        while (true)
        {
            Written written;
            lock (joined)
                written = joined.Value!;
            var plan = await PlanAsync(job, looks: true, cancellationToken, written).ConfigureAwait(false);
            if (plan.Existing is { } existing)
                return new(this, existing, isNew: false);
            lock (joined)
            {
                if (joined.Value != written)
                    continue; // The handler enqueues several at once, and another one was faster.
                foreach (var condition in plan.Commit!.Conditions)
                    require(condition);
                foreach (var change in plan.Commit.Changes)
                    enlist(change);
                joined.Value = written.SetItems(
                    plan.Commit.Changes.OfType<CommitChange.PutState>().Select(put => KeyValuePair.Create(put.Key, put.Payload)));
                return new(this, job.Reference.Id, isNew: true);
            }
        }
    }

    /// <summary>The commit that enqueues a job, or the job there is already.</summary>
    /// <param name="job">The job.</param>
    /// <param name="looks">Whether to look for it first; not at the first try, which goes well as a rule.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <param name="written">What the commit it is to join has already.</param>
    private async ValueTask<Plan> PlanAsync(NewJob job, bool looks, CancellationToken cancellationToken, Written? written = null)
    {
        written ??= Written.Empty;
        if (written.ContainsKey(JobNames.Record(job.Reference)))
            return new(job.Reference.Id, null);
        if (looks && await _store.GetStateAsync(JobNames.Record(job.Reference), cancellationToken).ConfigureAwait(false) is not null)
            return new(job.Reference.Id, null);
        List<CommitCondition> conditions = [CommitCondition.StateAbsent(JobNames.Record(job.Reference))];
        List<CommitChange> changes = [];
        if (job.Options.UniqueKey is { } name)
        {
            var key = JobNames.Unique(Name, name);
            if (written.TryGetValue(key, out var taken))
                return new(UniqueHolder.Read(taken.Span).JobId, null);
            var holder = looks ? await _store.GetStateAsync(key, cancellationToken).ConfigureAwait(false) : null;
            if (holder is not null && await IsHeldAsync(name, holder, cancellationToken).ConfigureAwait(false) is { } held)
                return new(held, null);
            var window = job.Options.UniqueWindow;
            conditions.Add(JobDocuments.Unchanged(key, holder));
            changes.Add(new CommitChange.PutState(key, UniqueHolder.Write(job.Reference.Id, window is not null), window));
        }

        var record = await AddParentsAsync(job, written, conditions, changes, cancellationToken).ConfigureAwait(false);
        if (record.BlockedBy is not null)
            changes.AddRange([JobDocuments.Put(job.Reference, record), new CommitChange.PutState(JobNames.Entry(job.Reference), job.Fields.Packed)]);
        else
            changes.AddRange(_ending.Enqueue(job.Reference, record, job.Fields));
        return new(null, new() { Conditions = conditions, Changes = changes });
    }

    /// <summary>A key is its holder's while the holder is known: where records were lost, their keys go with them.</summary>
    private async ValueTask<string?> IsHeldAsync(string name, StateDocument document, CancellationToken cancellationToken)
    {
        var holder = UniqueHolder.Read(document.Payload.Span);
        if (holder.IsWindow)
            return holder.JobId;
        var view = await JobDocuments.ReadAsync(_store, new JobReference(Name, holder.JobId), cancellationToken).ConfigureAwait(false);
        return view.Record?.UniqueKey == name ? holder.JobId : null;
    }

    /// <summary>
    /// Makes the job known to those it is to run after and that have not ended. That they have not is a condition of the commit, so no wake-up is lost:
    /// either a parent that ends finds its child, or the child finds that the parent has ended.
    /// </summary>
    private async ValueTask<JobRecord> AddParentsAsync(
        NewJob job, Written written, List<CommitCondition> conditions, List<CommitChange> changes, CancellationToken cancellationToken)
    {
        var record = job.Record;
        if (job.Options.After.Count == 0)
            return record;
        List<JobReference> blockedBy = [];
        foreach (var parent in await JobDocuments.ReadAsync(_store, [.. job.Options.After.Distinct()], cancellationToken).ConfigureAwait(false))
        {
            if (parent.Record is not { } found)
                throw new JobNotFoundException(parent.Job);
            var hasFailed = found.State is JobState.Failed or JobState.Cancelled;
            if (found.State == JobState.Succeeded || (hasFailed && record.OnParentFailure == ParentFailure.Run))
                continue;
            if (hasFailed && record.OnParentFailure == ParentFailure.Fail)
                return record with { FailedParent = $"{parent.Job.Queue}/{parent.Job.Id}" };
            AddChild(parent, job.Reference, written, conditions, changes);
            blockedBy.Add(parent.Job);
        }

        return blockedBy.Count == 0 ? record : record with { State = JobState.Blocked, BlockedBy = blockedBy };
    }

    private static void AddChild(
        JobView parent, JobReference child, Written written, List<CommitCondition> conditions, List<CommitChange> changes)
    {
        var requests = written.TryGetValue(JobNames.Requests(parent.Job), out var joined)
            ? JsonSerializer.Deserialize(joined.Span, WorkQueueJson.Default.JobRequests)!
            : parent.Requests ?? new();
        if (requests.Children.Count >= JobOptions.MaxChildren)
            throw new InvalidOperationException($"{JobOptions.MaxChildren} jobs wait for the job {parent.Job.Id} of '{parent.Job.Queue}' already.");
        conditions.Add(parent.SameRecord);
        conditions.Add(parent.SameRequests);
        changes.Add(JobDocuments.Put(parent.Job, requests with { Children = [.. requests.Children, child] }));

        // One that failed has a time to live; it is remembered for as long as somebody waits for its redrive.
        if (parent.Record!.HasEnded)
            changes.AddRange(JobDocuments.Keep(parent.Job, parent.Record));
    }

    private sealed record NewJob(JobReference Reference, EntryFields Fields, JobOptions Options, JobRecord Record);

    private readonly record struct Plan(string? Existing, Commit? Commit);
}
