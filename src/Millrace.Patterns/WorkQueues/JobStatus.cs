using System.Text.Json.Serialization;

namespace Millrace.WorkQueues;

/// <summary>A job as it stood when its state was read.</summary>
public sealed record JobStatus
{
    /// <summary>The job.</summary>
    public required JobReference Job { get; init; }

    /// <summary>Where it stands.</summary>
    public required JobState State { get; init; }

    /// <summary>When it was enqueued.</summary>
    public required DateTimeOffset EnqueuedAt { get; init; }

    /// <summary>When a delayed job is due, or was.</summary>
    public DateTimeOffset? DueAt { get; init; }

    /// <summary>When its last attempt began.</summary>
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>When it ended.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Attempts that began.</summary>
    public int Attempts { get; init; }

    /// <summary>The process that has it, or had it last.</summary>
    public string? Worker { get; init; }

    /// <summary>What its handler reported last.</summary>
    public JobProgress? Progress { get; init; }

    /// <summary>What went wrong in its attempts: the last ten.</summary>
    public IReadOnlyList<JobError> Errors { get; init; } = [];

    /// <summary>Why it failed.</summary>
    public string? FailureReason { get; init; }

    /// <summary>Whether it was asked to end, and has not yet.</summary>
    public bool IsCancelRequested { get; init; }

    /// <summary>The jobs that a blocked one still waits for.</summary>
    public IReadOnlyList<JobReference> BlockedBy { get; init; } = [];

    /// <summary>Whether it ended.</summary>
    public bool HasEnded => State is JobState.Succeeded or JobState.Failed or JobState.Cancelled;

    /// <summary>The result as JSON, or empty: there is none.</summary>
    internal ReadOnlyMemory<byte> Result { get; init; }
}

/// <summary>How far a job is.</summary>
/// <param name="Percent">0 to 100, or <see langword="null"/>: not said.</param>
/// <param name="Text">What it does, for people, or <see langword="null"/>.</param>
public sealed record JobProgress(
    [property: JsonPropertyName("percent")] double? Percent,
    [property: JsonPropertyName("text")] string? Text);

/// <summary>An attempt that failed.</summary>
/// <param name="Attempt">Which one, 1 for the first.</param>
/// <param name="Time">When.</param>
/// <param name="Error">The exception with its message.</param>
public sealed record JobError(
    [property: JsonPropertyName("attempt")] int Attempt,
    [property: JsonPropertyName("time")] DateTimeOffset Time,
    [property: JsonPropertyName("error")] string Error);
