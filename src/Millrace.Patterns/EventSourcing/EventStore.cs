using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>
/// Keeps the events of aggregates: a stream for each, in which the version of an event is the first part of its entry ID (<c>1-0</c>, <c>2-0</c>, …).
/// Versions are therefore gap-free as long as only this class appends, survive trimming, and go on above a foreign entry. A singleton, for
/// any number of callers and processes.
/// </summary>
/// <remarks>Reading never skips: an event that cannot be read is an <see cref="UndecodableMessageException"/>, because a state without it is wrong.</remarks>
public sealed partial class EventStore
{
    // What of small events one page has.
    private const int PageSize = 128;

    // What an append writes besides events: the command.
    private const int OtherChanges = 1;

    private static readonly TimeSpan FirstWait = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(1);

    private readonly IStreamStore _store;
    private readonly EntryPages _pages;
    private readonly MessageCodec _codec;
    private readonly EventStoreOptions _options;
    private readonly TimeProvider _time;
    private readonly EventStoreMeter _meter;
    private readonly ILogger _logger;

    internal EventStore(
        IStreamStore store, MessageCodec codec, EventStoreOptions options, TimeProvider time, EventStoreMeter meter, ILogger<EventStore> logger)
    {
        options.Check();
        (_store, _pages, _codec, _options, _time, _meter, _logger) = (store, new(store), codec, options, time, meter, logger);
    }

    /// <summary>
    /// Appends events, all together or not at all, in one commit: with them the copies for the category and the memory of the command. One
    /// round trip when the expected version is right, two more to tell a conflict. When the answer is lost the store is asked what became of it, so that
    /// no append happens twice.
    /// </summary>
    /// <param name="stream">The stream, such as <c>order-17</c>; made when it is new.</param>
    /// <param name="expected">The version the stream must have.</param>
    /// <param name="events">
    /// The events, in order; each class has a message name. At most <see cref="StreamLimits.MaxCommitChanges"/> less one, half of that for streams of a
    /// category that is kept.
    /// </param>
    /// <param name="options">More about the append. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting; the events may still be appended.</param>
    /// <exception cref="InvalidOperationException">The class of an event has no declared name.</exception>
    /// <exception cref="UndecodableMessageException">After a conflict, which appended nothing: an event in between cannot be read.</exception>
    /// <exception cref="StreamException">
    /// The store refused or failed. <see cref="StreamErrorCode.OutcomeUnknown"/>: it did not answer, and could not be asked what became of the
    /// append; a repetition under the same <see cref="AppendOptions.CommandId"/>, or the same expected version, is safe.
    /// <see cref="StreamErrorCode.Busy"/>: with <see cref="ExpectedVersion.Any"/>, others were faster at every try.
    /// </exception>
    public async ValueTask<AppendResult> AppendAsync(
        string stream,
        ExpectedVersion expected,
        IReadOnlyList<object> events,
        AppendOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(events);
        return await AppendEventsAsync(stream, expected, events, options, tellBetween: true, cancellationToken).ConfigureAwait(false);
    }

    private ValueTask<AppendResult> AppendEventsAsync(
        string stream,
        ExpectedVersion expected,
        IReadOnlyList<object> events,
        AppendOptions? options,
        bool tellBetween,
        CancellationToken cancellationToken)
    {
        var publish = (options ?? new()).ToPublishOptions();
        return AppendCoreAsync(MakeAppend(stream, events, publish, options?.CommandId), expected, tellBetween, cancellationToken);
    }

    private Append MakeAppend(string stream, IReadOnlyList<object> events, PublishOptions publish, string? commandId)
    {
        _options.CheckStream(stream);
        var category = _options.CategoryOf(stream);
        var most = (StreamLimits.MaxCommitChanges - OtherChanges) / (category is null ? 1 : 2);
        if (events.Count == 0 || events.Count > most)
            throw new ArgumentException($"{events.Count} events; an append to '{stream}' takes 1 to {most}.", nameof(events));

        var fields = events.Select((one, i) => _codec.Encode(one ?? throw new ArgumentException($"Event {i} is null.", nameof(events)), publish)).ToList();
        return new(stream, category, fields, commandId);
    }

    /// <summary>The version of the stream's last event; 0 when it has none. One round trip.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<long> GetVersionAsync(string stream, CancellationToken cancellationToken = default) =>
        (long)(await FindLastAsync(stream, cancellationToken).ConfigureAwait(false) ?? EntryId.Zero).Milliseconds;

    /// <summary>Reads a stream's events, page by page.</summary>
    /// <param name="stream">The stream; it need not exist.</param>
    /// <param name="from">The first version. Default: the first there is.</param>
    /// <param name="to">The last version. Default: the last there is.</param>
    /// <param name="backwards">Whether to begin with the last one. Default: with the first.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public IAsyncEnumerable<RecordedEvent> ReadAsync(
        string stream, long from = 1, long to = long.MaxValue, bool backwards = false, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(from);
        ArgumentOutOfRangeException.ThrowIfNegative(to);
        return ReadRangeAsync(stream, new((ulong)from, 0), to, backwards, cancellationToken);
    }

    /// <summary>Reads the events of a category, of all its streams in the order of their commits, up to the last one there is.</summary>
    /// <param name="category">A category that is kept, see <see cref="EventStoreOptions.AddCategory"/>.</param>
    /// <param name="after">Where an earlier read left off: <see cref="RecordedEvent.EntryId"/>. Default: from the first.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async IAsyncEnumerable<RecordedEvent> ReadCategoryAsync(
        string category, EntryId after = default, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(category);
        var range = new StreamRange { Start = after.Next(), Count = PageSize };
        await foreach (var entry in _pages.ReadAsync(category, range, cancellationToken).ConfigureAwait(false))
            yield return RecordCopy(category, entry);
    }

    /// <summary>
    /// Deletes a stream: its last event becomes a <see cref="StreamDeleted"/>, which categories and consumers see, and all before it are trimmed. Nothing can
    /// be appended any more. Copies in a category stay; what may not stay there is not to be put into events. May be called again: what a process
    /// that died left undone is done then.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="expected">The version it must have.</param>
    /// <param name="reason">Why, for people. Default: not said.</param>
    /// <param name="options">More about the tombstone. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns><see cref="AppendOutcome.Appended"/>, <see cref="AppendOutcome.Conflict"/>, or <see cref="AppendOutcome.Deleted"/>: it was already.</returns>
    /// <exception cref="StreamException">See <see cref="AppendAsync"/>.</exception>
    public async ValueTask<AppendResult> DeleteAsync(
        string stream,
        ExpectedVersion expected,
        string? reason = null,
        AppendOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        _options.CheckStream(stream);
        var fields = _codec.Encode(new StreamDeleted(reason), (options ?? new()).ToPublishOptions());
        var append = new Append(stream, _options.CategoryOf(stream), [fields], options?.CommandId) { IsTombstone = true };
        var result = await AppendCoreAsync(append, expected, tellBetween: true, cancellationToken).ConfigureAwait(false);
        if (result.Outcome is AppendOutcome.Appended or AppendOutcome.Deleted)
            await _store.TrimAsync(stream, StreamTrim.ToMinId(new((ulong)result.Version, 0)), cancellationToken).ConfigureAwait(false);
        return result;
    }

    private async IAsyncEnumerable<RecordedEvent> ReadRangeAsync(
        string stream, EntryId start, long to, bool backwards, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var end = new EntryId((ulong)to, ulong.MaxValue);
        var range = new StreamRange { Start = start, End = end, IsReversed = backwards, Count = PageSize };
        await foreach (var entry in _pages.ReadAsync(stream, range, cancellationToken).ConfigureAwait(false))
            yield return Record(stream, entry);
    }

    private RecordedEvent Record(string stream, StreamEntry entry) => RecordedEvent.Read(_codec, stream, entry);

    /// <exception cref="UndecodableMessageException">It is no copy of an event, or its event cannot be read.</exception>
    private RecordedEvent RecordCopy(string category, StreamEntry entry)
    {
        if (!EventStoreNames.TryReadOrigin(entry.Fields, out _))
            throw new UndecodableMessageException(entry.Id, entry.Fields, $"in the category '{category}' without the name and version of its stream");
        return RecordedEvent.Read(_codec, category, entry);
    }

    private async ValueTask<EntryId?> FindLastAsync(string stream, CancellationToken cancellationToken) =>
        (await _store.GetStreamInfoAsync(stream, cancellationToken).ConfigureAwait(false))?.LastGeneratedId;
}
