using Millrace.Consuming.Ordered;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// The parked keys of one ordered group. What is asked for is written down in the store: the process that reads the group does it at once,
/// or the next one that does; one that meanwhile has another message at the head of the key does nothing.
/// </summary>
public sealed class GroupParkedKeys
{
    private const int PageSize = 500;

    private readonly IStreamStore _store;
    private readonly OrderNames _names;
    private readonly string _again;

    internal GroupParkedKeys(IStreamStore store, string stream, string group)
    {
        (_store, Stream, Group) = (store, stream, group);
        _names = new(stream, group);
        _again = StreamNames.Again(stream, group);
    }

    /// <summary>The stream the group reads.</summary>
    public string Stream { get; }

    /// <summary>The group.</summary>
    public string Group { get; }

    /// <summary>
    /// Lists the parked keys, those parked first at the beginning; those that wait for their next attempt included. Costs two round trips for
    /// each 500.
    /// </summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public async IAsyncEnumerable<ParkedKey> ListAsync(
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var keys in KeysAsync(cancellationToken).ConfigureAwait(false))
        {
            var documents = await _store.GetStatesAsync([.. keys.Select(_names.Parked)], cancellationToken).ConfigureAwait(false);
            foreach (var document in documents)
            {
                if (document is not null)
                    yield return Describe(ParkedHead.Read(document));
            }
        }
    }

    /// <summary>Finds a key that is parked, or <see langword="null"/>. One round trip.</summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<ParkedKey?> FindAsync(string key, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(key);
        var document = await _store.GetStateAsync(_names.Parked(key), cancellationToken).ConfigureAwait(false);
        return document is null ? null : Describe(ParkedHead.Read(document));
    }

    /// <summary>
    /// Has the message that keeps a key parked tried now, without waiting for its delay; with all attempts before it again, when they were
    /// exhausted. Two round trips.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="by">Who asks; goes to the log.</param>
    /// <param name="cancellationToken">Stops the waiting; it may still be asked for.</param>
    /// <returns>Whether the key is parked, and the group was asked.</returns>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask<bool> ResumeAsync(string key, string by, CancellationToken cancellationToken = default) =>
        AskAsync(isSkip: false, key, by, cancellationToken);

    /// <summary>
    /// Gives up the message that keeps a key parked: it goes to the dead letters with the reason <see cref="DeadLetterReasons.Skipped"/>, and
    /// the key goes on with the next one. Two round trips.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="by">Who asks; goes to the log.</param>
    /// <param name="cancellationToken">Stops the waiting; it may still be asked for.</param>
    /// <returns>Whether the key is parked, and the group was asked.</returns>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask<bool> SkipAsync(string key, string by, CancellationToken cancellationToken = default) =>
        AskAsync(isSkip: true, key, by, cancellationToken);

    /// <summary>Counts them by the notes alone: a read for each 500.</summary>
    internal async ValueTask<long> CountAsync(CancellationToken cancellationToken)
    {
        long count = 0;
        await foreach (var keys in KeysAsync(cancellationToken).ConfigureAwait(false))
            count += keys.Count;
        return count;
    }

    /// <summary>The parked keys in pages, none of them empty.</summary>
    private async IAsyncEnumerable<List<string>> KeysAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var listed = new HashSet<string>(StringComparer.Ordinal);
        for (EntryId? next = EntryId.Zero; next is { } start;)
        {
            var page = await _store.RangeAsync(_names.Log, new() { Start = start, Count = PageSize }, cancellationToken).ConfigureAwait(false);
            next = page.Count < PageSize ? null : page[^1].Id.Next();
            var keys = page.Select(OrderNote.Read).Where(note => note.IsParked && listed.Add(note.Key!)).Select(note => note.Key!).ToList();
            if (keys.Count > 0)
                yield return keys;
        }
    }

    private async ValueTask<bool> AskAsync(bool isSkip, string key, string by, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(by);
        if (await FindAsync(key, cancellationToken).ConfigureAwait(false) is not { } parked)
            return false;
        var note = new CommitChange.Append(_names.Log, OrderNote.Ask(isSkip, key, parked.EntryId, by));
        await _store.CommitAsync(new Commit { Changes = [note], IsUpkeep = true }, cancellationToken).ConfigureAwait(false);
        return true;
    }

    private ParkedKey Describe(ParkedHead head) => new()
    {
        Key = head.Key,
        Stream = head.IsAgain ? _again : Stream,
        EntryId = head.Id,
        Since = head.Since,
        IsExhausted = head.IsExhausted,
        Attempts = head.Attempts,
    };
}
