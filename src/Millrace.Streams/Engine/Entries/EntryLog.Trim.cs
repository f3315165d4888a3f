namespace Millrace.Streams.Engine;

/// <summary>Trimming, block by block from the oldest, by the rules of Redis: which blocks go decides what an approximate trim keeps.</summary>
internal sealed partial class EntryLog
{
    /// <summary>Drops the oldest entries.</summary>
    /// <param name="trim">What to keep.</param>
    /// <param name="mayDrop">
    /// Asked for each entry that would go, in order: false keeps it. Default: all may go, and blocks go unread.
    /// </param>
    /// <returns>How many were dropped.</returns>
    public long Trim(in TrimRequest trim, Func<EntryId, bool>? mayDrop = null)
    {
        long dropped = 0;
        var at = 0;
        while (at < _blocks.Count && !IsReached(trim))
        {
            var block = _blocks[at];
            if (trim is { IsApproximate: true, Limit: > 0 } && dropped + block.Live > trim.Limit)
                break;
            var isBelow = trim.MinId is { } minId ? block.LastAddedId < minId : Count - block.Live >= trim.MaxLength;
            if (isBelow && mayDrop is null)
            {
                dropped += block.Live;
                Count -= block.Live;
                RemoveBlock(at);
                continue;
            }

            // Whoever asks looks at each entry anyway: as in Redis, whole blocks matter no more then.
            if (!isBelow && trim.IsApproximate && mayDrop is null)
                break;
            block = Own(at);
            dropped += TrimWithin(block, trim, isBelow, mayDrop);
            if (!isBelow)
                break;
            if (block.Live == 0)
                RemoveBlock(at);
            else
                at++;
        }

        if (dropped > 0)
            FirstId = FirstAtOrAbove(FirstId);
        if (Count == 0 || mayDrop is not null)
            LastId = LastAtOrBelow(LastId);
        return dropped;
    }

    private bool IsReached(in TrimRequest trim) => trim.MaxLength is { } maxLength && Count <= maxLength;

    /// <summary>
    /// Drops entries from the front of a block, all or until the bound is reached. Like Redis, it leaves a block of which nothing is left
    /// but entries that were deleted before: the next trim finds it.
    /// </summary>
    private long TrimWithin(EntryBlock block, in TrimRequest trim, bool isBelow, Func<EntryId, bool>? mayDrop)
    {
        // What is before the oldest entry was deleted: where trims take one entry at a time, it is not stepped over each time.
        long dropped = 0;
        for (var index = block.LowerBound(FirstId, out var offset); index < block.Stored; index++)
        {
            var entry = EntryView.At(block, offset);
            if (!isBelow && (IsReached(trim) || entry.Id >= trim.MinId))
                break;
            if (!block.IsDeleted(index) && mayDrop?.Invoke(entry.Id) != false)
            {
                block.Delete(index, entry.End - offset);
                Count--;
                dropped++;
            }

            offset = entry.End;
        }

        // Only then: what drops nothing is not journaled, and a replay has to find the same bytes.
        if (dropped > 0)
            SqueezeIfWorth(block);
        return dropped;
    }
}
