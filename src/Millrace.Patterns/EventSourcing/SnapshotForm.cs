namespace Millrace.EventSourcing;

/// <summary>How a snapshot is written and read where the state itself is not what is kept.</summary>
/// <typeparam name="TState">The state.</typeparam>
internal abstract class SnapshotForm<TState>
{
    public abstract ReadOnlyMemory<byte> Write(MessageCodec codec, TState state);

    /// <returns>The state, or <see langword="null"/>: there is none in it.</returns>
    public abstract TState? Read(MessageCodec codec, ReadOnlySpan<byte> json);
}

/// <summary>Of an aggregate with this ID.</summary>
internal sealed class AggregateSnapshotForm<TAggregate, TSnapshot>(string id) : SnapshotForm<TAggregate>
    where TAggregate : AggregateRoot, ISnapshotted<TSnapshot>, new()
    where TSnapshot : notnull
{
    public override ReadOnlyMemory<byte> Write(MessageCodec codec, TAggregate state) => codec.Serialize(state.ToSnapshot());

    public override TAggregate? Read(MessageCodec codec, ReadOnlySpan<byte> json)
    {
        if (codec.Deserialize<TSnapshot>(json) is not { } snapshot)
            return null;
        var aggregate = new TAggregate { Id = id };
        aggregate.Restore(snapshot);
        return aggregate;
    }
}
