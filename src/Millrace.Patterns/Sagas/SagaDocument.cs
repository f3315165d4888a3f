using System.Text.Json;
using System.Text.Json.Serialization;

namespace Millrace.Sagas;

/// <summary>An instance as the store keeps it: the state of the application and what the saga knows about itself.</summary>
internal sealed class SagaDocument
{
    public required string Id { get; init; }

    public SagaStatus Status { get; set; }

    /// <summary>The version of <see cref="State"/>'s shape.</summary>
    public int StateVersion { get; set; }

    /// <summary>The application's state.</summary>
    public JsonElement State { get; set; }

    public DateTimeOffset Started { get; init; }

    public DateTimeOffset? Ended { get; set; }

    /// <summary>Why it compensates.</summary>
    public string? Reason { get; set; }

    /// <summary>Why it needs attention.</summary>
    public string? Attention { get; set; }

    /// <summary>Whether everything was undone once already, and told so.</summary>
    public bool WasCompensated { get; set; }

    /// <summary>What can be undone, in the order it was done.</summary>
    public List<SagaStepRecord> Steps { get; init; } = [];

    /// <summary>The time-outs that may fire.</summary>
    public List<SagaTimeoutRecord> Timeouts { get; init; } = [];

    /// <summary>What happened. The IDs in it are also those of the messages that were handled.</summary>
    public List<SagaTimelineEntry> Timeline { get; init; } = [];

    /// <summary>How many entries of <see cref="Timeline"/> are missing after the first one.</summary>
    public int TimelineDropped { get; set; }

    /// <summary>The last entry of the index before this instance's own; <see langword="null"/>: it is not in the index.</summary>
    public string? IndexedAfter { get; set; }

    /// <summary>Whether the step's undoing has begun and is not through; true of one at most.</summary>
    public static bool IsCurrent(SagaStepRecord step) => step.Undo is SagaUndo.Sent or SagaUndo.Failed;

    public SagaStepRecord? FindCurrent() => Steps.Find(IsCurrent);

    /// <summary>One that a turn may change.</summary>
    public SagaDocument Copy() => new()
    {
        Id = Id,
        Status = Status,
        StateVersion = StateVersion,
        State = State,
        Started = Started,
        Ended = Ended,
        Reason = Reason,
        Attention = Attention,
        WasCompensated = WasCompensated,
        Steps = [.. Steps],
        Timeouts = [.. Timeouts],
        Timeline = [.. Timeline],
        TimelineDropped = TimelineDropped,
        IndexedAfter = IndexedAfter,
    };
}

/// <summary>A step that was done.</summary>
/// <param name="Name">The step.</param>
/// <param name="Detail">Which one, if it is done several times.</param>
/// <param name="DoneAt">When it was recorded.</param>
public sealed record SagaStepRecord(string Name, string? Detail, DateTimeOffset DoneAt)
{
    /// <summary>How far its undoing is.</summary>
    public SagaUndo Undo { get; init; }

    /// <summary>How often its undoing was sent, since it began or was last asked for again.</summary>
    public int Attempts { get; init; }
}

/// <summary>How far the undoing of a step is.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<SagaUndo>))]
public enum SagaUndo
{
    /// <summary>It has not begun.</summary>
    None,

    /// <summary>The command was sent and no answer is there.</summary>
    Sent,

    /// <summary>The last attempt failed.</summary>
    Failed,

    /// <summary>It is undone; without <see cref="SagaStep{TState}.Awaited"/>: the command has left, and what became of it the saga does not know.</summary>
    Undone,

    /// <summary>An operator said that it need not be undone.</summary>
    Skipped,
}

/// <summary>A time-out that may fire.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Token">What the message must carry: the ID of the message that set it.</param>
/// <param name="Due">When it fires, about: by the clock of the process that set it.</param>
public sealed record SagaTimeoutRecord(string Name, string Token, DateTimeOffset Due);

/// <summary>One message and what followed.</summary>
/// <param name="Time">When, by the clock of the process.</param>
/// <param name="Message">The name of the message; a time-out's with <c>time-out</c> before it, an operator's request with <c>request</c>.</param>
/// <param name="MessageId">Its ID.</param>
public sealed record SagaTimelineEntry(DateTimeOffset Time, string Message, string MessageId)
{
    /// <summary>What was sent: the stream, a space, the name of the message.</summary>
    public IReadOnlyList<string> Sent { get; init; } = [];

    /// <summary>The phase, or the status, before. Empty: there was no instance.</summary>
    public string From { get; init; } = "";

    /// <summary>The phase, or the status, after.</summary>
    public string To { get; init; } = "";

    /// <summary>What the saga and its handler have to say.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}

/// <summary>A time-out on its way, on the private stream of the saga's group.</summary>
/// <param name="Id">The instance.</param>
/// <param name="Name">The time-out.</param>
/// <param name="Token">See <see cref="SagaTimeoutRecord.Token"/>.</param>
[Message("millrace.saga-timeout")]
internal sealed record SagaTimeout(string Id, string Name, string Token);

/// <summary>What an operator asks of an instance.</summary>
/// <param name="Id">The instance.</param>
/// <param name="Act">What is asked.</param>
/// <param name="Reason">Why, for the timeline.</param>
/// <param name="Step">The step that could not be undone when it was asked; <see langword="null"/>: none, what follows from the end could not be sent.</param>
/// <param name="Detail">Which one, if it is done several times.</param>
[Message("millrace.saga-request")]
internal sealed record SagaRequest(string Id, SagaAct Act, string Reason, string? Step = null, string? Detail = null);

[JsonConverter(typeof(JsonStringEnumConverter<SagaAct>))]
internal enum SagaAct
{
    Retry,
    Skip,
    Compensate,
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(SagaDocument))]
[JsonSerializable(typeof(SagaTimeout))]
[JsonSerializable(typeof(SagaRequest))]
internal sealed partial class SagaJson : JsonSerializerContext;
