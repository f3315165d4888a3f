using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
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
        return await FindAsync(id, cancellationToken).ConfigureAwait(false) is { } document ? Read(document) : null;
    }

    /// <summary>Lists the instances that have not ended, the one that has waited longest first. Two round trips for 128 of them.</summary>
    /// <param name="status">Only those in this status. Default: all.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="SagaStateException">A state cannot be read; thrown after all others were listed.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public IAsyncEnumerable<SagaInstance<TState>> ListActiveAsync(SagaStatus? status = null, CancellationToken cancellationToken = default) =>
        ListAsync(_home.Active, document => document.Ended is null && document.Status == (status ?? document.Status), cancellationToken);

    /// <summary>Lists the instances that ended within <see cref="SagaOptions.Retention"/>, the first one first. Two round trips for 128 of them.</summary>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="SagaStateException">A state cannot be read; thrown after all others were listed.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public IAsyncEnumerable<SagaInstance<TState>> ListEndedAsync(CancellationToken cancellationToken = default) =>
        ListAsync(_home.Ended, static document => document.Ended is not null, cancellationToken);

    /// <summary>
    /// The stream of what ended, see <see cref="SagaOptions.ArchivesEnded"/>. It keeps everything, unless it is given a retention with
    /// <see cref="MillraceBuilder.AddRetention"/>.
    /// </summary>
    public string ArchiveStream => _home.Archive;

    /// <summary>
    /// Reads the archive: the instances as they ended, with their timelines, in that order. One that ended several times, because something was
    /// undone late or it was started anew, is there for each; the last one holds. One round trip for 128 of them, or for a mebibyte.
    /// </summary>
    /// <param name="from">Only those that ended from this moment on, by the clock of the store. Default: all.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="SagaStateException">A state cannot be read.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async IAsyncEnumerable<SagaInstance<TState>> ReadArchiveAsync(
        DateTimeOffset? from = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var range = new StreamRange { Start = new((ulong)Math.Max(0, from?.ToUnixTimeMilliseconds() ?? 0), 0), Count = PageSize };
        await foreach (var entry in new EntryPages(_store).ReadAsync(ArchiveStream, range, cancellationToken).ConfigureAwait(false))
            if (entry.Fields.TryGet(SagaHome.DocumentField, out var document))
                yield return Read(_codec.Deserialize<SagaDocument>(document.Span)!);
    }

    /// <summary>
    /// Undoes again what could not be undone. Of an instance that does not <see cref="SagaStatus.NeedsAttention"/>, or for another step when a process
    /// takes the request up, nothing is changed. Two round trips.
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

    /// <summary>Lets an instance fail that is <see cref="SagaStatus.Running"/>: what it has done is undone. One round trip.</summary>
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
        var request = new SagaRequest(id, act, reason);
        if (act != SagaAct.Compensate)
        {
            if (await FindAsync(id, cancellationToken).ConfigureAwait(false) is not { Status: SagaStatus.NeedsAttention } document)
                return;
            var step = document.FindCurrent();
            request = request with { Step = step?.Name, Detail = step?.Detail };
        }

        await _publisher.PublishAsync(_home.Private, request, cancellationToken: cancellationToken).ConfigureAwait(false);
    }

    private async IAsyncEnumerable<SagaInstance<TState>> ListAsync(
        string index, Func<SagaDocument, bool> isWanted, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        SagaStateException? unreadable = null;

        // One that was started anew has several entries.
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var start = EntryId.Zero; ;)
        {
            var page = await _store.RangeAsync(index, new() { Start = start, Count = PageSize }, cancellationToken).ConfigureAwait(false);
            if (page.Count == 0)
                break;
            start = page[^1].Id.Next();
            var ids = page.Select(entry => entry.Fields.GetText(SagaHome.IdField)).OfType<string>().Where(seen.Add).Select(_home.Instance).ToList();
            if (ids.Count == 0)
                continue;
            foreach (var stored in await _store.GetStatesAsync(ids, cancellationToken).ConfigureAwait(false))
            {
                if (ReadDocument(stored) is not { } document || !isWanted(document))
                    continue;
                SagaInstance<TState> instance;
                try
                {
                    instance = Read(document);
                }
                catch (SagaStateException exception)
                {
                    unreadable ??= exception; // One instance of a newer version must not hide the others.
                    continue;
                }

                yield return instance;
            }
        }

        if (unreadable is not null)
            ExceptionDispatchInfo.Throw(unreadable);
    }

    private async ValueTask<SagaDocument?> FindAsync(string id, CancellationToken cancellationToken) =>
        ReadDocument(await _store.GetStateAsync(_home.Instance(id), cancellationToken).ConfigureAwait(false));

    private SagaDocument? ReadDocument(StateDocument? stored) => stored is null ? null : _codec.Deserialize<SagaDocument>(stored.Payload.Span);

    private SagaInstance<TState> Read(SagaDocument document) => new()
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
        TimelineDropped = document.TimelineDropped,
    };
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

    /// <summary>How many entries are missing in <see cref="Timeline"/>, between its first one and the others. 0: it is whole.</summary>
    public int TimelineDropped { get; init; }
}
