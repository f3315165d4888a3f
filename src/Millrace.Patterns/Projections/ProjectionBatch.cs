using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>Events for a target, and the checkpoint to save with them.</summary>
public sealed record ProjectionBatch
{
    /// <summary>The projection.</summary>
    public required string Projection { get; init; }

    /// <summary>The generation of the read model they are for.</summary>
    public required int Generation { get; init; }

    /// <summary>The events, in the order of the source; at most <see cref="ProjectionOptions.BatchSize"/>, perhaps none.</summary>
    public required IReadOnlyList<RecordedEvent> Events { get; init; }

    /// <summary>The checkpoint that must be saved now for the batch to fit on.</summary>
    public required ProjectionCheckpoint After { get; init; }

    /// <summary>The checkpoint to save.</summary>
    public required ProjectionCheckpoint Checkpoint { get; init; }

    /// <summary>Holds while the process runs the projection and nobody changed its plan: a condition for commits in the store of the source.</summary>
    internal CommitCondition? Fence { get; init; }
}
