using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Embedded;

/// <summary>What happens to pending entries.</summary>
public sealed partial class EmbeddedStreamStore
{
    /// <inheritdoc/>
    public ValueTask<long> AckAsync(
        string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckBatch(ids);
        return ApplyAsync<Ack, long>(new(stream, group, ids), cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask<long> AckAndDeleteAsync(
        string stream, string group, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckBatch(ids);
        var outcomes = await ApplyAsync<AckAndDelete, DeleteOutcome[]>(new(stream, group, ids), cancellationToken).ConfigureAwait(false);
        return outcomes.Count(static outcome => outcome != DeleteOutcome.Missing);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<EntryId>> ExtendAsync(
        string stream, string group, string consumer, IReadOnlyList<HeldEntry> held, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        StreamArguments.CheckName(consumer);
        StreamArguments.CheckBatch(held);
        return ApplyAsync<Extend, IReadOnlyList<EntryId>>(new(stream, group, consumer, held), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<ClaimResult> ClaimAsync(
        string stream, string group, ClaimRequest claim, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckClaim(stream, group, claim);
        var minIdleMs = (long)Math.Ceiling(claim.MinIdleTime.TotalMilliseconds);
        return ApplyAsync<Claim, ClaimResult>(new(stream, group, claim.Consumer, minIdleMs, claim.Ids), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<PendingEntry>> PendingAsync(
        string stream, string group, PendingQuery query, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckPending(stream, group, query);
        return QueryAsync<(string, string, PendingQuery), IReadOnlyList<PendingEntry>>(
            (stream, group, query),
            static (engine, what, nowMs) => engine.Pending(what.Item1, what.Item2, what.Item3, nowMs),
            cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<PendingSummary> PendingSummaryAsync(string stream, string group, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckGroup(stream, group);
        return QueryAsync(
            (stream, group), static (engine, what, _) => engine.PendingSummary(what.stream, what.group), cancellationToken);
    }
}
