using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>How a state follows from events.</summary>
/// <typeparam name="TState">The state. With snapshots, JSON must bring it back.</typeparam>
/// <param name="Initial">The state before the first event.</param>
/// <param name="Evolve">The state after an event. Pure. Is given every event of the stream, also those it has no use for.</param>
public sealed record EventFold<TState>(Func<TState> Initial, Func<TState, object, TState> Evolve)
    where TState : notnull
{
    /// <summary>
    /// When <see cref="EventStore.DecideAsync"/> and <see cref="EventStore.EnlistDecisionAsync"/> take snapshots. Default: never. A stream keeps one snapshot:
    /// give the policy to one fold of a stream, the one that decides.
    /// </summary>
    public SnapshotPolicy? Snapshots { get; init; }

    /// <summary>What a snapshot holds. Default: the state as JSON.</summary>
    internal SnapshotForm<TState>? SnapshotForm { get; init; }
}

/// <summary>A state and where in its stream it stands.</summary>
/// <typeparam name="TState">The state.</typeparam>
/// <param name="State">The state.</param>
/// <param name="Version">The version of the last event in it; 0 when there is none.</param>
/// <param name="IsDeleted">Whether the stream was deleted: the state is that before the first event.</param>
public sealed record LoadedState<TState>(TState State, long Version, bool IsDeleted)
{
    /// <summary>The ID of the last entry in it.</summary>
    internal EntryId LastId { get; init; }

    /// <summary>The document of the snapshot, whatever it holds: the next one replaces this version of it only.</summary>
    internal long? SnapshotDocument { get; init; }

    /// <summary>Where the snapshot stood that the load began with.</summary>
    internal long SnapshotVersion { get; init; }

    /// <summary>
    /// How long no snapshot was taken: since the one that the load began with; without one since the first event, by the time it carries; without any
    /// since the load.
    /// </summary>
    internal DateTimeOffset? UnkeptSince { get; init; }
}
