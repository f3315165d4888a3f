using System.Collections.Concurrent;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// What the entries of streams weigh: names and values, added up in runs of some hundred entries and remembered, so that each entry is read once and not
/// with every application of a policy. Safe for concurrent use: the last who added up is remembered.
/// </summary>
internal sealed class StreamSizes(IStreamStore store)
{
    // What is read again to find the place within a run, and of the newest one each time.
    private const int RunLength = 500;
    private const long RunBytes = 4 * 1024 * 1024;

    private readonly ConcurrentDictionary<string, List<Run>> _known = [];
    private readonly EntryPages _pages = new(store);

    /// <summary>The ID behind the newest entry that is too much, when the newest ones are to have this many bytes together at most; 0-0: none is.</summary>
    public async ValueTask<EntryId> FindEndAsync(string stream, long maxBytes, CancellationToken cancellationToken)
    {
        if (await store.GetStreamInfoAsync(stream, cancellationToken).ConfigureAwait(false) is not { FirstEntry.Id: var first, LastEntry.Id: var last } info)
        {
            _known.TryRemove(stream, out _);
            return EntryId.Zero;
        }

        var runs = _known.TryGetValue(stream, out var known) ? await GoOnAsync(stream, known, first, last, cancellationToken).ConfigureAwait(false) : [];

        // Entries that were deleted by name are in the runs, and which ones nobody tells.
        if (runs.Sum(static run => (long)run.Count) != info.Length)
            runs = await AddUpAsync(stream, first, last, cancellationToken).ConfigureAwait(false);
        _known[stream] = runs;

        var at = runs.Count - 1;
        for (; at >= 0 && runs[at].Bytes <= maxBytes; at--)
            maxBytes -= runs[at].Bytes;
        return at < 0 ? EntryId.Zero : await FindEndAsync(stream, runs[at], maxBytes, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<EntryId> FindEndAsync(string stream, Run run, long maxBytes, CancellationToken cancellationToken)
    {
        var range = new StreamRange { Start = run.First, End = run.Last, IsReversed = true };
        await foreach (var entry in _pages.ReadAsync(stream, range, cancellationToken).ConfigureAwait(false))
        {
            maxBytes -= entry.Fields.Packed.Length;
            if (maxBytes < 0)
                return EntryPages.Behind(entry.Id);
        }

        return run.First; // Some of it went meanwhile.
    }

    /// <summary>Leaves out what was trimmed, and adds what came.</summary>
    private async ValueTask<List<Run>> GoOnAsync(string stream, List<Run> known, EntryId first, EntryId last, CancellationToken cancellationToken)
    {
        var kept = known.Where(run => run.Last >= first).ToList();
        if (kept is [] || kept[^1].Last > last)
            return []; // All of it is gone, or IDs went back.
        if (kept[0].First < first)
        {
            var rest = await AddUpAsync(stream, first, kept[0].Last, cancellationToken).ConfigureAwait(false);
            kept.RemoveAt(0);
            kept.InsertRange(0, rest);
        }

        // The last run may go on, so that there are not as many as applications.
        var from = first;
        if (kept is [.., var open])
        {
            from = EntryPages.Behind(open.Last);
            if (open.IsOpen)
            {
                kept.RemoveAt(kept.Count - 1);
                from = open.First;
            }
        }

        if (from <= last && (kept is [] || from > kept[^1].Last))
            kept.AddRange(await AddUpAsync(stream, from, last, cancellationToken).ConfigureAwait(false));
        return kept;
    }

    private async ValueTask<List<Run>> AddUpAsync(string stream, EntryId from, EntryId to, CancellationToken cancellationToken)
    {
        var runs = new List<Run>();
        await foreach (var entry in _pages.ReadAsync(stream, new() { Start = from, End = to }, cancellationToken).ConfigureAwait(false))
        {
            var bytes = (long)entry.Fields.Packed.Length;
            if (runs is [.., { IsOpen: true } open])
                runs[^1] = open with { Last = entry.Id, Count = open.Count + 1, Bytes = open.Bytes + bytes };
            else
                runs.Add(new(entry.Id, entry.Id, 1, bytes));
        }

        return runs;
    }

    private readonly record struct Run(EntryId First, EntryId Last, int Count, long Bytes)
    {
        public bool IsOpen => Count < RunLength && Bytes < RunBytes;
    }
}
