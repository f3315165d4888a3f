using System.Runtime.CompilerServices;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Reads entries in pages that fill neither memory nor an answer, however sizes differ. Learns sizes from page to page, and from read to read: keep one for
/// reads of the same kind of entries. Safe for all threads.
/// </summary>
internal sealed class EntryPages(IStreamStore store)
{
    // What a page is meant to hold: so much that a round trip more does not count.
    private const int PageBytes = 1024 * 1024;

    // So the first page has four entries, which fit an answer of 64 MiB whatever they weigh.
    private const int FirstEntryBytes = PageBytes / 4;

    private readonly ReadSize _size = new(PageBytes, FirstEntryBytes);

    /// <summary>Where the range behind an entry begins. Nothing is behind the largest ID.</summary>
    public static EntryId Behind(EntryId id) => id == EntryId.Max ? id : id.Next();

    /// <summary>Reads a range to its end, in pages of <see cref="StreamRange.Count"/> entries at most.</summary>
    public async IAsyncEnumerable<StreamEntry> ReadAsync(
        string stream, StreamRange range, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var page in ReadPagesAsync(stream, range, cancellationToken).ConfigureAwait(false))
        {
            foreach (var entry in page)
                yield return entry;
        }
    }

    /// <summary>As <see cref="ReadAsync"/>, page by page, none of them empty.</summary>
    public async IAsyncEnumerable<IReadOnlyList<StreamEntry>> ReadPagesAsync(
        string stream, StreamRange range, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        while (true)
        {
            var (page, isLast) = await ReadPageAsync(stream, range, least: 1, cancellationToken).ConfigureAwait(false);
            if (page.Count > 0)
                yield return page;
            if (isLast || page[^1].Id == (range.IsReversed ? range.Start : range.End))
                yield break;
            range = range.IsReversed ? range with { End = page[^1].Id.Previous() } : range with { Start = page[^1].Id.Next() };
        }
    }

    /// <summary>Reads one page, of so many entries at least where there are as many; it tells whether it reaches the end of the range.</summary>
    public async ValueTask<(IReadOnlyList<StreamEntry> Page, bool IsLast)> ReadPageAsync(
        string stream, StreamRange range, int least, CancellationToken cancellationToken)
    {
        var (page, asked) = await AskAsync(
            count => store.RangeAsync(stream, range with { Count = count }, cancellationToken), least, range.Count).ConfigureAwait(false);
        Learn(page);
        return (page, page.Count < asked);
    }

    /// <summary>Reads on behind an entry, and waits for the first one when there is none. Empty when the wait is over.</summary>
    public async ValueTask<IReadOnlyList<StreamEntry>> ReadOnAsync(
        string stream, EntryId after, int most, TimeSpan block, CancellationToken cancellationToken)
    {
        var (batches, _) = await AskAsync(
            count => store.ReadAsync([new(stream, after)], count, block, cancellationToken), least: 1, most).ConfigureAwait(false);
        var entries = batches is [var batch, ..] ? batch.Entries : [];
        Learn(entries);
        return entries;
    }

    private async ValueTask<(T Answer, int Asked)> AskAsync<T>(Func<int, ValueTask<T>> ask, int least, int most)
    {
        var count = Math.Max(least, Math.Min(most, _size.Fitting));
        try
        {
            return (await ask(count).ConfigureAwait(false), count);
        }
        catch (StreamException) when (count > least)
        {
            // Perhaps it met entries so much larger than those before that they do not fit an answer. So few do, and if not, that is thrown.
            _size.Forget();
            return (await ask(least).ConfigureAwait(false), least);
        }
    }

    private void Learn(IReadOnlyList<StreamEntry> entries)
    {
        var bytes = 0L;
        foreach (var entry in entries)
            bytes += entry.Fields.Packed.Length;
        _size.Learn(bytes, entries.Count);
    }
}
