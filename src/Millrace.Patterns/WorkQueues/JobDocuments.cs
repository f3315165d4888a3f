using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>Reads and writes what the store keeps of jobs.</summary>
internal static class JobDocuments
{
    public static CommitChange Put(JobReference job, JobRecord record, TimeSpan? timeToLive = null) =>
        new CommitChange.PutState(JobNames.Record(job), JsonSerializer.SerializeToUtf8Bytes(record, WorkQueueJson.Default.JobRecord), timeToLive);

    public static CommitChange Put(JobReference job, JobRequests requests) =>
        new CommitChange.PutState(JobNames.Requests(job), JsonSerializer.SerializeToUtf8Bytes(requests, WorkQueueJson.Default.JobRequests));

    /// <summary>Writes a record that may have had a time to live without one, and the key that is the job's for as long as its record is there.</summary>
    public static IEnumerable<CommitChange> Keep(JobReference job, JobRecord record)
    {
        yield return Put(job, record);
        if (record is { HoldsKey: true, UniqueUntil: UniqueUntil.Forgotten, UniqueKey: { } key })
            yield return new CommitChange.PutState(JobNames.Unique(job.Queue, key), UniqueHolder.Write(job.Id, isWindow: false));
    }

    /// <summary>Reads record and requests of jobs, in one round trip.</summary>
    public static async ValueTask<IReadOnlyList<JobView>> ReadAsync(
        IStreamStore store, IReadOnlyList<JobReference> jobs, CancellationToken cancellationToken)
    {
        if (jobs.Count == 0)
            return [];
        var documents = await store
            .GetStatesAsync([.. jobs.SelectMany(job => new[] { JobNames.Record(job), JobNames.Requests(job) })], cancellationToken).ConfigureAwait(false);
        var views = new JobView[jobs.Count];
        for (var i = 0; i < views.Length; i++)
            views[i] = new(jobs[i], documents[2 * i], documents[(2 * i) + 1]);
        return views;
    }

    public static async ValueTask<JobView> ReadAsync(IStreamStore store, JobReference job, CancellationToken cancellationToken) =>
        (await ReadAsync(store, [job], cancellationToken).ConfigureAwait(false))[0];

    public static T? Parse<T>(StateDocument? document, JsonTypeInfo<T> type)
        where T : class => document is null ? null : JsonSerializer.Deserialize(document.Payload.Span, type);

    public static CommitCondition Unchanged(StateKey key, StateDocument? document) =>
        document is null ? CommitCondition.StateAbsent(key) : CommitCondition.StateIs(key, document.Version);

    public static long Milliseconds(TimeProvider time) => time.GetUtcNow().ToUnixTimeMilliseconds();
}

/// <summary>A job as it was read, with what must hold for a commit that depends on it.</summary>
internal sealed class JobView(JobReference job, StateDocument? record, StateDocument? requests)
{
    public JobReference Job => job;

    public JobRecord? Record { get; } = JobDocuments.Parse(record, WorkQueueJson.Default.JobRecord);

    public JobRequests? Requests { get; } = JobDocuments.Parse(requests, WorkQueueJson.Default.JobRequests);

    public CommitCondition SameRecord => JobDocuments.Unchanged(JobNames.Record(job), record);

    public CommitCondition SameRequests => JobDocuments.Unchanged(JobNames.Requests(job), requests);

    public bool IsCancelRequested => Requests is { Cancel: true };
}
