using System.Runtime.CompilerServices;

namespace Millrace.WorkQueues;

/// <summary>
/// The handle of a job. Made by enqueueing it, or by <see cref="JobQueue.Find"/> in any process; as good in one as in the other. For any number of
/// callers.
/// </summary>
public sealed class Job
{
    private readonly JobQueue _queue;

    internal Job(JobQueue queue, string id, bool isNew) => (_queue, Id, IsNew) = (queue, id, isNew);

    /// <summary>The job's ID.</summary>
    public string Id { get; }

    /// <summary>Names the job, as in <see cref="JobOptions.After"/>.</summary>
    public JobReference Reference => new(_queue.Name, Id);

    /// <summary>Whether this call enqueued it; not when there was a job of the ID or unique key already, or it was found.</summary>
    public bool IsNew { get; }

    /// <summary>Reads where the job stands. One round trip.</summary>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The state, or <see langword="null"/>: the queue does not know the job, or has forgotten it.</returns>
    /// <exception cref="Streams.StreamException">The store failed.</exception>
    public ValueTask<JobStatus?> GetStatusAsync(CancellationToken cancellationToken = default) => _queue.GetStatusAsync(Id, cancellationToken);

    /// <summary>Cancels the job. What had not begun never runs; what runs has its token cancelled, in whatever process. Two round trips.</summary>
    /// <param name="cancellationToken">Stops the waiting; the job may still be cancelled.</param>
    /// <exception cref="Streams.StreamException">The store failed; ask again.</exception>
    public ValueTask<CancelOutcome> CancelAsync(CancellationToken cancellationToken = default) => _queue.CancelAsync(Id, cancellationToken);

    /// <summary>Waits until the job succeeded.</summary>
    /// <param name="timeout">How long; <see cref="Timeout.InfiniteTimeSpan"/>: for ever.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The job as it ended.</returns>
    /// <exception cref="JobFailedException">It failed.</exception>
    /// <exception cref="JobCancelledException">It was cancelled.</exception>
    /// <exception cref="JobNotFoundException">The queue does not know it, or has forgotten it.</exception>
    /// <exception cref="TimeoutException">It did not end in time, or the store was away for so long. It goes on.</exception>
    /// <exception cref="Streams.StreamException">The store refused to answer for good; a store that is away is waited for.</exception>
    public ValueTask<JobStatus> WaitAsync(TimeSpan timeout, CancellationToken cancellationToken = default) =>
        _queue.WaitAsync(Id, timeout, cancellationToken);

    /// <summary>Waits until the job succeeded and reads what its handler returned.</summary>
    /// <typeparam name="TResult">The type of the result.</typeparam>
    /// <param name="timeout">How long; <see cref="Timeout.InfiniteTimeSpan"/>: for ever.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="InvalidOperationException">The job has no result.</exception>
    /// <exception cref="System.Text.Json.JsonException">The result is not JSON of this shape.</exception>
    /// <exception cref="JobFailedException">It failed.</exception>
    /// <exception cref="JobCancelledException">It was cancelled.</exception>
    /// <exception cref="JobNotFoundException">The queue does not know it, or has forgotten it.</exception>
    /// <exception cref="TimeoutException">It did not end in time, or the store was away for so long. It goes on.</exception>
    /// <exception cref="Streams.StreamException">The store refused to answer for good; a store that is away is waited for.</exception>
    public async ValueTask<TResult> ResultAsync<TResult>(TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        var status = await _queue.WaitAsync(Id, timeout, cancellationToken).ConfigureAwait(false);
        return _queue.ReadResult<TResult>(status);
    }

    /// <summary>
    /// Waits until the job succeeded and reads what its handler returned, however long that takes: until the token says to stop, if it ever does. A job
    /// that nobody works on is waited for as well; so is a store that is away.
    /// </summary>
    /// <typeparam name="TResult">The type of the result.</typeparam>
    /// <param name="cancellationToken">Stops the waiting. Default: nothing does.</param>
    /// <exception cref="InvalidOperationException">The job has no result.</exception>
    /// <exception cref="System.Text.Json.JsonException">The result is not JSON of this shape.</exception>
    /// <exception cref="JobFailedException">It failed.</exception>
    /// <exception cref="JobCancelledException">It was cancelled.</exception>
    /// <exception cref="JobNotFoundException">The queue does not know it, or has forgotten it.</exception>
    /// <exception cref="OperationCanceledException">The token said to stop. The job goes on.</exception>
    /// <exception cref="Streams.StreamException">The store refused to answer for good; a store that is away is waited for.</exception>
    public ValueTask<TResult> ResultAsync<TResult>(CancellationToken cancellationToken = default) =>
        ResultAsync<TResult>(Timeout.InfiniteTimeSpan, cancellationToken);

    /// <summary>
    /// Tells how the job gets on, from its state now to its end: when it reports progress, when it ends, and every 5 seconds in between where something
    /// else changed. States that follow each other quickly may be told as one.
    /// </summary>
    /// <param name="cancellationToken">Ends the watching.</param>
    /// <exception cref="JobNotFoundException">The queue does not know the job, or has forgotten it.</exception>
    /// <exception cref="Streams.StreamException">The store failed.</exception>
    public async IAsyncEnumerable<JobStatus> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using var subscription = await _queue.Notes.SubscribeAsync(Id, cancellationToken).ConfigureAwait(false);
        for (JobStatus? last = null; last is not { HasEnded: true };)
        {
            var status = await GetStatusAsync(cancellationToken).ConfigureAwait(false) ?? throw new JobNotFoundException(Reference);
            if (last is null || (last.State, last.Attempts, last.Progress, last.IsCancelRequested) !=
                (status.State, status.Attempts, status.Progress, status.IsCancelRequested))
                yield return status;
            last = status;
            if (!status.HasEnded)
                await subscription.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}
