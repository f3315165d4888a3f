namespace Millrace.EventSourcing;

/// <summary>
/// An <see cref="AggregateRoot"/> of which snapshots are kept, see
/// <see cref="MillraceBuilderExtensions.AddAggregate{TAggregate, TSnapshot}(MillraceBuilder, string, SnapshotPolicy)"/>.
/// </summary>
/// <typeparam name="TSnapshot">What is kept; JSON must bring it back.</typeparam>
public interface ISnapshotted<TSnapshot>
    where TSnapshot : notnull
{
    /// <summary>All that events have changed in the aggregate. Called after its events were saved.</summary>
    TSnapshot ToSnapshot();

    /// <summary>Makes an aggregate that is new what the other was.</summary>
    /// <param name="snapshot">What the other gave.</param>
    void Restore(TSnapshot snapshot);
}
