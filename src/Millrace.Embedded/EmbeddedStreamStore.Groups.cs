using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Embedded;

/// <summary>Groups and consumers, and what is known about them and their stream.</summary>
public sealed partial class EmbeddedStreamStore
{
    /// <inheritdoc/>
    public ValueTask<bool> CreateGroupAsync(
        string stream, string group, GroupStart start, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        return ApplyAsync<CreateGroup, bool>(new(stream, group, start), cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask SetGroupAsync(string stream, string group, GroupStart start, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        await ApplyAsync<SetGroup, bool>(new(stream, group, start), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<bool> DestroyGroupAsync(string stream, string group, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        return ApplyAsync<DestroyGroup, bool>(new(stream, group), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<bool> CreateConsumerAsync(
        string stream, string group, string consumer, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckName(consumer);
        return ApplyAsync<CreateConsumer, bool>(new(stream, group, consumer), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<long> DeleteConsumerAsync(
        string stream, string group, string consumer, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckName(consumer);
        return ApplyAsync<DeleteConsumer, long>(new(stream, group, consumer), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<StreamInfo?> GetStreamInfoAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        return QueryAsync(stream, static (engine, stream, _) => engine.Info(stream), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<GroupInfo>> GetGroupsAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        return QueryAsync<string, IReadOnlyList<GroupInfo>>(
            stream, static (engine, stream, _) => engine.Groups(stream), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ConsumerInfo>> GetConsumersAsync(
        string stream, string group, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        return QueryAsync<(string, string), IReadOnlyList<ConsumerInfo>>(
            (stream, group), static (engine, what, nowMs) => engine.Consumers(what.Item1, what.Item2, nowMs), cancellationToken);
    }
}
