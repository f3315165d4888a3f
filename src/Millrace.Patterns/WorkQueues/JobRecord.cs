using System.Text.Json;
using System.Text.Json.Serialization;

namespace Millrace.WorkQueues;

/// <summary>What the store knows of a job. Times are milliseconds since 1970 by the clock of whoever wrote them, for people.</summary>
internal sealed record JobRecord
{
    public JobState State { get; init; }

    public long EnqueuedAt { get; init; }

    public long? DueAt { get; init; }

    public long? StartedAt { get; init; }

    public long? EndedAt { get; init; }

    public int Attempts { get; init; }

    public string? Worker { get; init; }

    public string? UniqueKey { get; init; }

    public UniqueUntil UniqueUntil { get; init; }

    /// <summary>Whether the document of the key is this job's to take away.</summary>
    public bool HoldsKey { get; init; }

    public TimeSpan? TimeLimit { get; init; }

    public TimeSpan? Retention { get; init; }

    /// <summary>To be waited for when the last of <see cref="BlockedBy"/> has ended.</summary>
    public TimeSpan? Delay { get; init; }

    public IReadOnlyList<JobReference>? BlockedBy { get; init; }

    public ParentFailure OnParentFailure { get; init; }

    /// <summary>The job that did not succeed: whoever gets this one from the queue ends it.</summary>
    public string? FailedParent { get; init; }

    public IReadOnlyList<JobError>? Errors { get; init; }

    public string? FailureReason { get; init; }

    public JobProgress? Progress { get; init; }

    public JsonElement? Result { get; init; }

    [JsonIgnore]
    public bool HasEnded => State is JobState.Succeeded or JobState.Failed or JobState.Cancelled;

    /// <summary>Notes an attempt that failed.</summary>
    public JobRecord WithError(int attempt, DateTimeOffset now, Exception? error) => error is null
        ? this
        : this with { Errors = [.. (Errors ?? []).TakeLast(MaxErrors - 1), new(attempt, now, Describe(error))] };

    private const int MaxErrors = 10;
    private const int MaxErrorLength = 1_000;

    private static string Describe(Exception error)
    {
        var text = $"{error.GetType().Name}: {error.Message}";
        return text.Length <= MaxErrorLength ? text : text[..MaxErrorLength];
    }
}

/// <summary>What others want of a job that has not ended.</summary>
internal sealed record JobRequests
{
    /// <summary>It is to end.</summary>
    public bool Cancel { get; init; }

    /// <summary>Jobs that are to run after it.</summary>
    public IReadOnlyList<JobReference> Children { get; init; } = [];
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(JobRecord))]
[JsonSerializable(typeof(JobRequests))]
[JsonSerializable(typeof(JobProgress))]
[JsonSerializable(typeof(JsonElement))]
internal sealed partial class WorkQueueJson : JsonSerializerContext;
