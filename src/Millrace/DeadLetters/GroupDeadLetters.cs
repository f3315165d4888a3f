using System.Runtime.CompilerServices;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// The dead letters of one group. What takes a letter away is one commit a letter, on the condition that the letter is still there: of two
/// operators at work at once, each letter goes with one, and a redrive that broke off is simply run again.
/// </summary>
/// <remarks>Cost: a read a page of a hundred letters, or of a mebibyte where they are large, and one round trip a batch of letters written.</remarks>
public sealed partial class GroupDeadLetters
{
    // What of small letters one page has: large enough to amortize a round trip.
    private const int PageSize = 100;

    // What a count by cause keeps in memory at most: two letters of each, whole.
    private const int MaxCauses = 10_000;
    private const long MaxCauseBytes = 128 * 1024 * 1024;

    private readonly IStreamStore _store;
    private readonly EntryPages _pages;
    private readonly TimeProvider _time;
    private readonly string _letters;
    private readonly string _audit;
    private readonly string _again;

    internal GroupDeadLetters(IStreamStore store, TimeProvider time, string stream, string group)
    {
        (_store, _pages, _time, Stream, Group) = (store, new(store), time, stream, group);
        _letters = StreamNames.DeadLetters(stream, group);
        _audit = StreamNames.DeadLetterAudit(stream, group);
        _again = StreamNames.Again(stream, group);
    }

    /// <summary>The stream the group reads.</summary>
    public string Stream { get; }

    /// <summary>The group.</summary>
    public string Group { get; }

    /// <summary>Lists letters, oldest first, up to the last one there is when the listing begins.</summary>
    /// <param name="filter">Which. Default: all.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public async IAsyncEnumerable<DeadLetter> ListAsync(
        DeadLetterFilter? filter = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var page in PagesAsync(filter ?? DeadLetterFilter.All, cancellationToken).ConfigureAwait(false))
        {
            foreach (var letter in page)
                yield return letter;
        }
    }

    /// <summary>Finds one letter, or <see langword="null"/>.</summary>
    /// <param name="id">The letter.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<DeadLetter?> FindAsync(EntryId id, CancellationToken cancellationToken = default)
    {
        var found = await _store.RangeAsync(_letters, new() { Start = id, End = id, Count = 1 }, cancellationToken).ConfigureAwait(false);
        return found.Count == 0 ? null : new(found[0]);
    }

    /// <summary>
    /// Counts letters by cause, the most frequent first. Reads all letters the filter leaves, and keeps the first and the last one of each cause.
    /// </summary>
    /// <param name="filter">Which. Default: all.</param>
    /// <param name="cancellationToken">Stops the counting.</param>
    /// <exception cref="InvalidOperationException">
    /// There are more than 10,000 causes, or their first and last letters have more than 128 MiB: count a shorter time.
    /// </exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<IReadOnlyList<DeadLetterCause>> CountByCauseAsync(
        DeadLetterFilter? filter = null, CancellationToken cancellationToken = default)
    {
        var causes = new Dictionary<string, DeadLetterCause>(StringComparer.Ordinal);
        var bytes = 0L;
        await foreach (var letter in ListAsync(filter, cancellationToken).ConfigureAwait(false))
        {
            var cause = letter.Cause;
            var known = causes.GetValueOrDefault(cause) ?? new(cause, 0, letter, letter);
            causes[cause] = known with { Count = known.Count + 1, Newest = letter };
            bytes += SizeOf(letter) - (known.Count > 1 ? SizeOf(known.Newest) : 0);
            if (causes.Count > MaxCauses || bytes > MaxCauseBytes)
                throw new InvalidOperationException(
                    $"There are more than {MaxCauses:N0} causes, or their first and last letters have more than {MaxCauseBytes >> 20} MiB: " +
                    $"these are {causes.Count:N0} with {bytes >> 20} MiB. Count a shorter time.");
        }

        return [.. causes.Values.OrderByDescending(cause => cause.Count).ThenBy(cause => cause.Oldest.Id)];

        static int SizeOf(DeadLetter letter) => letter.Headers.Fields.Packed.Length;
    }

    /// <summary>
    /// Drops old letters and audit notes, whatever is set, and whether or not a group that reads them has settled them. Retention is a call, not a side
    /// effect of appending: nothing is dropped that nobody asked to drop. <see cref="StreamRetention.DeadLetters"/> does it by itself, and waits for groups.
    /// </summary>
    /// <param name="retention">What to keep. Ages are by this process's clock against the store's time in the IDs.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>How many letters were dropped.</returns>
    /// <exception cref="ArgumentOutOfRangeException">An age or number is negative.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<long> TrimAsync(DeadLetterRetention retention, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(retention);
        retention.Check();
        long dropped = 0;
        if (retention.MaxAge is { } maxAge)
            dropped += await _store.TrimAsync(_letters, StreamTrim.ToMinId(Oldest(maxAge)), cancellationToken).ConfigureAwait(false);
        if (retention.MaxCount is { } maxCount)
            dropped += await _store.TrimAsync(_letters, StreamTrim.ToLength(maxCount), cancellationToken).ConfigureAwait(false);
        if (retention.AuditMaxAge is { } auditMaxAge)
            await _store.TrimAsync(_audit, StreamTrim.ToMinId(Oldest(auditMaxAge)), cancellationToken).ConfigureAwait(false);
        return dropped;
    }

    /// <summary>Who redrove, edited or deleted what, oldest first. Each note was written in one commit with what it tells of.</summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public async IAsyncEnumerable<DeadLetterNote> AuditAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var page in EntriesAsync(_audit, EntryId.Zero, EntryId.Max, cancellationToken).ConfigureAwait(false))
        {
            foreach (var entry in page)
                yield return DeadLetterNote.Read(entry);
        }
    }

    /// <summary>
    /// The letters of a filter, a page at a time, up to the last one of now: a letter that is redriven, fails and comes back has a larger ID
    /// and is not met again.
    /// </summary>
    private async IAsyncEnumerable<List<DeadLetter>> PagesAsync(
        DeadLetterFilter filter, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(filter.Limit, 1, nameof(filter));
        if (await _store.GetStreamInfoAsync(_letters, cancellationToken).ConfigureAwait(false) is not { } info)
            yield break;

        var start = filter.From is { } from ? new EntryId(Milliseconds(from), 0) : EntryId.Zero;
        var end = filter.To is { } to ? new EntryId(Milliseconds(to), ulong.MaxValue) : EntryId.Max;
        var left = filter.Limit;
        await foreach (var entries in EntriesAsync(
            _letters, start, end < info.LastGeneratedId ? end : info.LastGeneratedId, cancellationToken).ConfigureAwait(false))
        {
            List<DeadLetter> page = [.. entries.Select(entry => new DeadLetter(entry)).Where(filter.Matches).Take(left)];
            left -= page.Count;
            if (page.Count > 0)
                yield return page;
            if (left == 0)
                yield break;
        }
    }

    private IAsyncEnumerable<IReadOnlyList<StreamEntry>> EntriesAsync(string stream, EntryId start, EntryId end, CancellationToken cancellationToken) =>
        _pages.ReadPagesAsync(stream, new() { Start = start, End = end, Count = PageSize }, cancellationToken);

    private EntryId Oldest(TimeSpan age)
    {
        var now = _time.GetUtcNow();
        return new(age < now - DateTimeOffset.UnixEpoch ? Milliseconds(now - age) : 0, 0);
    }

    private static ulong Milliseconds(DateTimeOffset time) => (ulong)Math.Max(0, time.ToUnixTimeMilliseconds());
}
