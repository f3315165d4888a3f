using System.Text.Json.Serialization;

namespace Millrace.Sagas;

/// <summary>Where an instance of a saga is.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<SagaStatus>))]
public enum SagaStatus
{
    /// <summary>It goes on with the next message.</summary>
    Running,

    /// <summary>It failed, and the steps that were done are undone one after the other, the last one first.</summary>
    Compensating,

    /// <summary>
    /// A step could not be undone, as often as it was tried. Somebody has to look, and <see cref="SagaStore{TState}.RetryAsync"/> or
    /// <see cref="SagaStore{TState}.SkipAsync"/>.
    /// </summary>
    NeedsAttention,

    /// <summary>It ended well.</summary>
    Completed,

    /// <summary>It failed and everything it had done is undone, as far as it waits for that, see <see cref="SagaUndo.Undone"/>.</summary>
    Compensated,
}
