using System.Runtime.CompilerServices;
using Millrace.Streams;

namespace Millrace;

/// <summary>Reads many entries in pages that fill neither memory nor an answer, however sizes differ.</summary>
internal static class EntryPages
{
    // Large enough to amortize a round trip.
    private const int PageSize = 500;

    // What a page is meant to hold. Sizes show when they are here, so the first page is small.
    private const int PageBytes = 4 * 1024 * 1024;
    private const int FirstPageSize = 4;

    /// <summary>Where the range behind an entry begins. Nothing is behind the largest ID.</summary>
    public static EntryId Behind(EntryId id) => id == EntryId.Max ? id : id.Next();

    /// <summary>Reads a range to its end.</summary>
    public static async IAsyncEnumerable<StreamEntry> ReadAsync(
        IStreamStore store, string stream, StreamRange range, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var size = FirstPageSize;
        while (true)
        {
            IReadOnlyList<StreamEntry> page;
            try
            {
                page = await store.RangeAsync(stream, range with { Count = size }, cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException) when (size > 1)
            {
                // Perhaps it met entries so much larger than those before that they do not fit an answer. One does, and if not, that is thrown.
                size = 1;
                continue;
            }

            foreach (var entry in page)
                yield return entry;
            if (page.Count < size || page[^1].Id == (range.IsReversed ? range.Start : range.End))
                yield break;
            range = range.IsReversed ? range with { End = page[^1].Id.Previous() } : range with { Start = page[^1].Id.Next() };
            var fitting = PageBytes * (long)size / Math.Max(1, page.Sum(static entry => (long)entry.Fields.Packed.Length));
            size = (int)Math.Clamp(fitting, 1, Math.Min(PageSize, size * 2));
        }
    }
}
