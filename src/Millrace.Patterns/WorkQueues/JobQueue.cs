using System.Text.Json;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>
/// A queue of jobs: work that is done once, in the background, by whichever process is free, and that can be waited for. A keyed singleton under the
/// queue's name, for any number of callers; added by <c>AddJobQueue</c> or <c>AddJob</c>.
/// </summary>
/// <remarks>
/// A job is a message of the stream of the queue's name, and its workers are the consumer group of the same name; what <see cref="ConsumerOptions"/> and
/// <see cref="DeadLetters"/> offer holds for jobs as well. Beside it is a record of the job, which every step of its life writes in one commit. The stream
/// is the workers' own: an entry is deleted with its acknowledgement, and other groups would miss it.
/// </remarks>
public sealed partial class JobQueue : IAsyncDisposable
{
    // Each may take the time limit of a command.
    private const int MaxLostAnswers = 5;

    // A conflict means that another writer got through.
    private const int MaxTries = 100;

    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(50);

    private readonly IStreamStore _store;
    private readonly MessageCodec _codec;
    private readonly JobQueueRegistration _registration;
    private readonly JobEnding _ending;
    private readonly JobWorker _worker;
    private readonly TimeProvider _time;

    internal JobQueue(JobQueueRegistration registration, IStreamStore store, MessageCodec codec, TimeProvider time, ILogger<JobQueue> logger)
    {
        registration.Options.Check(registration.Queue);
        (_registration, _store, _codec, _time) = (registration, store, codec, time);
        Notes = new(store, Name, time, logger);
        _ending = new(store, registration.Options, time);
        _worker = new(this, store, registration.Options, _ending, time, logger);
    }

    /// <summary>The name of the queue, of its stream, and of the consumer group of its workers.</summary>
    public string Name => _registration.Queue;

    internal JobNotes Notes { get; }

    /// <summary>Makes the handle of a job that is known by its ID. Asks nobody; whether there is such a job shows when it is asked.</summary>
    /// <param name="id">The ID.</param>
    public Job Find(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        return new(this, id, isNew: false);
    }

    /// <summary>
    /// Sends a job that failed back to the queue, with all attempts before it, see <see cref="GroupDeadLetters"/>. Looks through the dead letters for it.
    /// </summary>
    /// <param name="id">The job.</param>
    /// <param name="options">Who, and whether in earnest.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>What came of it; <see cref="RedriveOutcome.Gone"/> when the job is not among the dead letters.</returns>
    /// <exception cref="StreamException">The store failed; ask again.</exception>
    public async ValueTask<RedriveOutcome> RedriveAsync(string id, RedriveOptions options, CancellationToken cancellationToken = default)
    {
        var letters = new DeadLetters(_store, _time).Of(Name, Name);
        await foreach (var letter in letters.ListAsync(DeadLetterFilter.All, cancellationToken).ConfigureAwait(false))
        {
            if (letter.Headers.MessageId != id)
                continue;

            // Read before: once it is redriven a worker may have it, and it may have failed again.
            var failed = await JobDocuments.ReadAsync(_store, new JobReference(Name, id), cancellationToken).ConfigureAwait(false);
            var result = await letters.RedriveAsync(letter.Id, options, cancellationToken).ConfigureAwait(false);
            if (result.Outcome == RedriveOutcome.Redriven)
                await MarkWaitingAsync(failed, cancellationToken).ConfigureAwait(false);
            return result.Outcome;
        }

        return RedriveOutcome.Gone;
    }

    /// <summary>Ends the following of notes. The container does it.</summary>
    public ValueTask DisposeAsync() => Notes.DisposeAsync();

    internal async ValueTask<JobStatus?> GetStatusAsync(string id, CancellationToken cancellationToken)
    {
        var job = new JobReference(Name, id);
        var documents = await _store.GetStatesAsync([JobNames.Record(job), JobNames.Requests(job), JobNames.Progress(job)], cancellationToken)
            .ConfigureAwait(false);
        var view = new JobView(job, documents[0], documents[1]);
        if (view.Record is not { } record)
            return null;
        var isDue = record.State == JobState.Delayed && record.DueAt <= JobDocuments.Milliseconds(_time);
        return new()
        {
            Job = job,
            State = isDue ? JobState.Waiting : record.State,
            EnqueuedAt = DateTimeOffset.FromUnixTimeMilliseconds(record.EnqueuedAt),
            DueAt = Moment(record.DueAt),
            StartedAt = Moment(record.StartedAt),
            EndedAt = Moment(record.EndedAt),
            Attempts = record.Attempts,
            Worker = record.Worker,
            Progress = record.HasEnded ? record.Progress : JobDocuments.Parse(documents[2], WorkQueueJson.Default.JobProgress) ?? record.Progress,
            Errors = record.Errors ?? [],
            FailureReason = record.FailureReason,
            IsCancelRequested = !record.HasEnded && view.IsCancelRequested,
            BlockedBy = record.BlockedBy ?? [],
            Result = record.Result is { } result ? JsonSerializer.SerializeToUtf8Bytes(result, WorkQueueJson.Default.JsonElement) : default,
        };

        static DateTimeOffset? Moment(long? milliseconds) => milliseconds is { } ms ? DateTimeOffset.FromUnixTimeMilliseconds(ms) : null;
    }

    internal async ValueTask<JobStatus> WaitAsync(string id, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            using var subscription = await Notes.SubscribeAsync(id, either.Token).ConfigureAwait(false);
            while (true)
            {
                // Looked at after every wake-up, and first of all: the job may have ended long ago.
                switch (await GetStatusPatientlyAsync(id, either.Token).ConfigureAwait(false))
                {
                    case null:
                        throw new JobNotFoundException(new(Name, id));
                    case { State: JobState.Succeeded } succeeded:
                        return succeeded;
                    case { State: JobState.Failed } failed:
                        throw new JobFailedException(failed);
                    case { State: JobState.Cancelled } cancelled:
                        throw new JobCancelledException(cancelled);
                    default:
                        await subscription.WaitAsync(either.Token).ConfigureAwait(false);
                        break;
                }
            }
        }
        catch (OperationCanceledException exception) when (limit.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"The job {id} of '{Name}' did not end within {timeout}.", exception);
        }
    }

    private async ValueTask<JobStatus?> GetStatusPatientlyAsync(string id, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return await GetStatusAsync(id, cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException exception) when (exception.IsTransient)
            {
                // Whoever waits for a job waits out an outage, too, as long as he wants to.
                await Task.Delay(RetryDelay, _time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    internal TResult ReadResult<TResult>(JobStatus status) => status.Result.IsEmpty
        ? throw new InvalidOperationException($"The job {status.Job.Id} of '{Name}' has no result: its handler returns none.")
        : _codec.Deserialize<TResult>(status.Result.Span) ?? throw new JsonException($"The result of the job {status.Job.Id} is the JSON value null.");

    internal JsonElement WriteResult<TResult>(TResult result)
        where TResult : notnull
    {
        using var document = JsonDocument.Parse(_codec.Serialize(result));
        return document.RootElement.Clone();
    }

    internal Task RunAsync(MessageContext message, Func<JobContext, CancellationToken, Task<JsonElement?>> handle, CancellationToken cancellationToken) =>
        _worker.RunAsync(message, handle, cancellationToken);

    internal ValueTask SettleAsync(Settling settling, CancellationToken cancellationToken) => _worker.SettleAsync(settling, cancellationToken);

    /// <summary>The redrive was one commit; this one only says it, unless a worker was faster.</summary>
    private async ValueTask MarkWaitingAsync(JobView view, CancellationToken cancellationToken)
    {
        if (view.Record is not { State: JobState.Failed } record)
            return;
        List<CommitCondition> conditions = [view.SameRecord];
        List<CommitChange> changes = [JobDocuments.Put(view.Job, record with { State = JobState.Waiting, EndedAt = null })];
        if (record is { HoldsKey: true, UniqueUntil: UniqueUntil.Forgotten, UniqueKey: { } name })
        {
            // Kept for as long as the record, which has no time to live any more; if it is gone, the start of the job sees to that.
            var key = JobNames.Unique(Name, name);
            var holder = await _store.GetStateAsync(key, cancellationToken).ConfigureAwait(false);
            if (holder is not null && UniqueHolder.Read(holder.Payload.Span).JobId == view.Job.Id)
            {
                conditions.Add(JobDocuments.Unchanged(key, holder));
                changes.Add(new CommitChange.PutState(key, holder.Payload));
            }
        }

        await _store.CommitAsync(new Commit { Conditions = conditions, Changes = changes }, cancellationToken).ConfigureAwait(false);
    }
}
