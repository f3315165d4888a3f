using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Millrace.Streams;

namespace Millrace.Sagas;

/// <summary>Reads the instances of a saga, and asks something of one. A singleton, for any number of callers.</summary>
/// <typeparam name="TState">The saga's state.</typeparam>
public sealed class SagaStore<TState>
    where TState : notnull
{
    private const int PageSize = 128;

    private readonly Saga<TState> _saga;
    private readonly SagaHome _home;
    private readonly IStreamStore _store;
    private readonly MessageCodec _codec;
    private readonly Publisher _publisher;

    internal SagaStore(Saga<TState> saga, SagaHome home, IStreamStore store, MessageCodec codec, Publisher publisher) =>
        (_saga, _home, _store, _codec, _publisher) = (saga, home, store, codec, publisher);

    /// <summary>The saga's name.</summary>
    public string Name => _saga.Name;

    /// <summary>Reads an instance, also one that ended within <see cref="SagaOptions.Retention"/>. One round trip.</summary>
    /// <param name="id">What its messages are correlated by.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The instance, or <see langword="null"/>: there is none.</returns>
    /// <exception cref="SagaStateException">Its state cannot be read.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<SagaInstance<TState>?> GetAsync(string id, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        return Read(await _store.GetStateAsync(_home.Instance(id), cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Lists the instances that have not ended, the one that has waited longest first. Two round trips for 128 of them.</summary>
    /// <param name="status">Only those in this status. Default: all.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="SagaStateException">A state cannot be read.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public IAsyncEnumerable<SagaInstance<TState>> ListActiveAsync(SagaStatus? status = null, CancellationToken cancellationToken = default) =>
        ListAsync(_home.Active, instance => instance.EndedAt is null && instance.Status == (status ?? instance.Status), cancellationToken);

    /// <summary>Lists the instances that ended within <see cref="SagaOptions.Retention"/>, the first one first. Two round trips for 128 of them.</summary>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="SagaStateException">A state cannot be read.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public IAsyncEnumerable<SagaInstance<TState>> ListEndedAsync(CancellationToken cancellationToken = default) =>
        ListAsync(_home.Ended, static instance => instance.EndedAt is not null, cancellationToken);

    /// <summary>
    /// Undoes again what could not be undone. Of an instance that does not <see cref="SagaStatus.NeedsAttention"/> when a process takes the request up,
    /// nothing is changed. One round trip.
    /// </summary>
    /// <param name="id">The instance.</param>
    /// <param name="reason">Who, and why, for the timeline.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask RetryAsync(string id, string reason, CancellationToken cancellationToken = default) =>
        RequestAsync(id, SagaAct.Retry, reason, cancellationToken);

    /// <summary>Passes over what could not be undone, since somebody has seen to it, and undoes the rest. Otherwise as <see cref="RetryAsync"/>.</summary>
    /// <param name="id">The instance.</param>
    /// <param name="reason">Who, and why, for the timeline.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask SkipAsync(string id, string reason, CancellationToken cancellationToken = default) =>
        RequestAsync(id, SagaAct.Skip, reason, cancellationToken);

    /// <summary>Lets an instance fail that is <see cref="SagaStatus.Running"/>: what it has done is undone. Otherwise as <see cref="RetryAsync"/>.</summary>
    /// <param name="id">The instance.</param>
    /// <param name="reason">Who, and why.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask CompensateAsync(string id, string reason, CancellationToken cancellationToken = default) =>
        RequestAsync(id, SagaAct.Compensate, reason, cancellationToken);

    private async ValueTask RequestAsync(string id, SagaAct act, string reason, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        ArgumentException.ThrowIfNullOrEmpty(reason);
        await _publisher.PublishAsync(_home.Private, new SagaRequest(id, act, reason), cancellationToken: cancellationToken).ConfigureAwait(false);
    }

    private async IAsyncEnumerable<SagaInstance<TState>> ListAsync(
        string index, Func<SagaInstance<TState>, bool> isWanted, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // One that was started anew has several entries.
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var start = EntryId.Zero; ;)
        {
            var page = await _store.RangeAsync(index, new() { Start = start, Count = PageSize }, cancellationToken).ConfigureAwait(false);
            if (page.Count == 0)
                yield break;
            start = page[^1].Id.Next();
            var ids = page.Select(entry => entry.Fields.GetText(SagaHome.IdField)).OfType<string>().Where(seen.Add).Select(_home.Instance).ToList();
            if (ids.Count == 0)
                continue;
            foreach (var document in await _store.GetStatesAsync(ids, cancellationToken).ConfigureAwait(false))
                if (Read(document) is { } instance && isWanted(instance))
                    yield return instance;
        }
    }

    private SagaInstance<TState>? Read(StateDocument? stored)
    {
        if (stored is null || _codec.Deserialize<SagaDocument>(stored.Payload.Span) is not { } document)
            return null;
        return new()
        {
            Id = document.Id,
            Status = document.Status,
            State = _saga.ReadState(_codec, document.Id, document.StateVersion, JsonMarshal.GetRawUtf8Value(document.State)),
            StartedAt = document.Started,
            EndedAt = document.Ended,
            Reason = document.Reason,
            Attention = document.Attention,
            Steps = document.Steps,
            Timeouts = document.Timeouts,
            Timeline = document.Timeline,
        };
    }
}

/// <summary>An instance of a saga as it was read.</summary>
/// <typeparam name="TState">The saga's state.</typeparam>
public sealed record SagaInstance<TState>
{
    /// <summary>What its messages are correlated by.</summary>
    public required string Id { get; init; }

    /// <summary>Where it is.</summary>
    public required SagaStatus Status { get; init; }

    /// <summary>What it remembers.</summary>
    public required TState State { get; init; }

    /// <summary>When it began, by the clock of the process.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>When it ended, or <see langword="null"/>.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Why it failed, or <see langword="null"/>.</summary>
    public string? Reason { get; init; }

    /// <summary>Why it needs attention, or <see langword="null"/>.</summary>
    public string? Attention { get; init; }

    /// <summary>The steps that were done, in order.</summary>
    public IReadOnlyList<SagaStepRecord> Steps { get; init; } = [];

    /// <summary>The time-outs that may fire.</summary>
    public IReadOnlyList<SagaTimeoutRecord> Timeouts { get; init; } = [];

    /// <summary>What happened: the first message and the last others, see <see cref="SagaOptions.MaxTimeline"/>.</summary>
    public IReadOnlyList<SagaTimelineEntry> Timeline { get; init; } = [];
}
