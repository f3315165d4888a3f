using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

internal sealed partial class Tenure
{
    /// <summary>
    /// The parked keys, then everything that is pending, whoever had it, in the order of the IDs; and last what operators asked for while
    /// nobody read.
    /// </summary>
    private async Task LoadAsync(CancellationToken cancellationToken)
    {
        await _ledger.EnsureGroupsAsync(cancellationToken).ConfigureAwait(false);
        foreach (var stream in new[] { _plan.Again, _plan.Stream })
        {
            var groups = await _store.GetGroupsAsync(stream, cancellationToken).ConfigureAwait(false);
            _readThrough[stream] = groups.First(group => group.Name == _plan.Group).LastDeliveredId;
        }

        var notes = await NotesAsync(cancellationToken).ConfigureAwait(false);
        var parked = await LoadParkedAsync(notes, cancellationToken).ConfigureAwait(false);
        await LoadPendingAsync(isAgain: true, parked, cancellationToken).ConfigureAwait(false);
        await LoadPendingAsync(isAgain: false, parked, cancellationToken).ConfigureAwait(false);

        foreach (var turn in parked.Values)
        {
            if (turn.Entry.DeliveryCount == 0)
                await ForgetAsync(turn, cancellationToken).ConfigureAwait(false);
            else
                WakeLater(turn, DelayOf(turn.Parked!));
        }

        foreach (var note in notes.Where(note => !note.IsParked))
            await AskAsync(note, cancellationToken).ConfigureAwait(false);
    }

    private async Task<List<OrderNote>> NotesAsync(CancellationToken cancellationToken)
    {
        List<OrderNote> notes = [];
        IReadOnlyList<StreamEntry> page;
        do
        {
            page = await _store.RangeAsync(
                _names.Log, new() { Start = _lastNote.Next(), Count = PageSize }, cancellationToken).ConfigureAwait(false);
            notes.AddRange(page.Select(OrderNote.Read));
            if (page.Count > 0)
                _lastNote = page[^1].Id;
        }
        while (page.Count == PageSize);
        return notes;
    }

    /// <summary>Takes the documents into memory, and deletes notes of documents that are not there any more.</summary>
    private async Task<Dictionary<(bool IsAgain, EntryId Id), Turn>> LoadParkedAsync(
        List<OrderNote> notes, CancellationToken cancellationToken)
    {
        var turns = new Dictionary<(bool IsAgain, EntryId Id), Turn>();
        var keys = new HashSet<string>(StringComparer.Ordinal);
        List<EntryId> stale = [.. notes.Where(note => note is { IsParked: false, IsResume: false, IsSkip: false }).Select(note => note.Id)];
        foreach (var page in notes.Where(note => note.IsParked).Reverse().Chunk(PageSize))
        {
            var documents = await _store.GetStatesAsync([.. page.Select(note => _names.Parked(note.Key ?? ""))], cancellationToken)
                .ConfigureAwait(false);
            foreach (var (note, document) in page.Zip(documents))
            {
                // Of several notes about one key the last is the one that is deleted with the document.
                if (document is not null && keys.Add(note.Key!) && ParkedHead.Read(document) is var head)
                    turns[(head.IsAgain, head.Id)] = _queue.AddParked(head, note.Id);
                else
                    stale.Add(note.Id);
            }
        }

        foreach (var page in stale.Chunk(PageSize))
            await _store.DeleteAsync(_names.Log, page, cancellationToken).ConfigureAwait(false);
        return turns;
    }

    /// <summary>Adds what is pending. Nothing is claimed before its turn comes, so that what merely waits counts no delivery.</summary>
    private async Task LoadPendingAsync(
        bool isAgain, Dictionary<(bool IsAgain, EntryId Id), Turn> parked, CancellationToken cancellationToken)
    {
        await foreach (var page in PendingAsync(isAgain, EntryId.Zero, cancellationToken).ConfigureAwait(false))
        {
            List<PendingEntry> others = [];
            foreach (var entry in page)
            {
                if (parked.TryGetValue((isAgain, entry.Id), out var turn))
                    turn.Entry = turn.Entry with { DeliveryCount = entry.DeliveryCount };
                else
                    others.Add(entry);
            }

            foreach (var (key, entry) in await ReadKeysAsync(isAgain, others, ours: null, cancellationToken).ConfigureAwait(false))
                _queue.Add(key, entry);
            LogMessages.Recovered(_logger, isAgain ? _plan.Again : _plan.Stream, _plan.Group, page.Count);
        }
    }

    /// <summary>
    /// What was delivered after all that is known here: to an earlier reader, whose read was on its way when it lost the lease, since nothing
    /// fences a read; and to this one, or an earlier one of its name, by a read whose answer was lost. Between each read and the place of its
    /// entries in the queue: of one key, what was delivered first goes first.
    /// </summary>
    private async Task<List<(string? Key, WaitingEntry Entry)>> FindStraysAsync(
        bool isAgain, IReadOnlyList<DeliveredEntry> read, CancellationToken cancellationToken)
    {
        var withOurs = _answerLostAt is not null;
        var stream = isAgain ? _plan.Again : _plan.Stream;
        List<(string? Key, WaitingEntry Entry)> found = [];
        var summary = await _store.PendingSummaryAsync(stream, _plan.Group, cancellationToken).ConfigureAwait(false);
        if (!withOurs && summary.CountByConsumer.Keys.All(consumer => consumer == _plan.Consumer))
            return found;

        // Before the list, because what is settled in between is no longer known, and must not be taken for a stray.
        var known = _queue.Known();
        known.UnionWith(read.Select(entry => (isAgain, entry.Id)));
        await foreach (var page in PendingAsync(isAgain, _readThrough[stream].Next(), cancellationToken).ConfigureAwait(false))
        {
            var strays = page.Where(entry => (withOurs || entry.Consumer != _plan.Consumer) && !known.Contains((isAgain, entry.Id))).ToList();
            found.AddRange(await ReadKeysAsync(isAgain, strays, _plan.Consumer, cancellationToken).ConfigureAwait(false));
        }

        return found;
    }

    private async Task<List<(string? Key, WaitingEntry Entry)>> ReadKeysAsync(
        bool isAgain, List<PendingEntry> entries, string? ours, CancellationToken cancellationToken)
    {
        List<(string? Key, WaitingEntry Entry)> read = [];
        for (var i = 0; i < entries.Count;)
        {
            // What is pending lies close together as a rule, so one range brings the fields of many.
            var (found, end) = await _reader.LookAsync(isAgain, entries[i].Id, entries[^1].Id, PageSize, cancellationToken).ConfigureAwait(false);
            var fields = found.ToDictionary(entry => entry.Id, entry => entry.Fields);
            for (; i < entries.Count && entries[i].Id <= end; i++)
            {
                // One that was deleted from the stream has no key; nothing is left of it to handle.
                var key = fields.TryGetValue(entries[i].Id, out var known) ? _keys.Read(known) : null;
                read.Add((key, new(isAgain, entries[i].Id, entries[i].DeliveryCount, IsOurs: entries[i].Consumer == ours)));
            }
        }

        return read;
    }

    private async IAsyncEnumerable<IReadOnlyList<PendingEntry>> PendingAsync(
        bool isAgain, EntryId from, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (EntryId? next = from; next is { } start;)
        {
            var query = new PendingQuery { Start = start, Count = PageSize };
            var page = await _store.PendingAsync(isAgain ? _plan.Again : _plan.Stream, _plan.Group, query, cancellationToken)
                .ConfigureAwait(false);
            if (page.Count > 0)
                yield return page;
            next = page.Count < PageSize ? null : page[^1].Id.Next();
        }
    }

    /// <summary>The wait before the next attempt begins anew; what was cut short, and was no attempt, runs at once.</summary>
    private TimeSpan DelayOf(ParkedHead head) => head switch
    {
        { IsExhausted: true } => Timeout.InfiniteTimeSpan,
        { Attempt: 1 } => TimeSpan.Zero,
        _ => Backoff.Next(head.Attempt - 1, _plan.Options.RetryBaseDelay, _plan.Options.RetryMaxDelay),
    };
}
