using Millrace.Streams;

namespace Millrace;

/// <summary>
/// How many entries a read may ask for, by the size of those that came. A store is asked for a number of entries, and what they weigh shows when they are
/// here: on Redis a reply over its limit costs the connection. Safe for all threads; a stale value is as good as the last one.
/// </summary>
/// <param name="maxBytes">What a read is meant to bring at most; one entry may be more.</param>
/// <param name="firstEntryBytes">What entries are taken to weigh each before one was seen.</param>
internal sealed class ReadSize(int maxBytes, int firstEntryBytes = StreamLimits.MaxEntryBytes)
{
    // What the next entries are taken to weigh each.
    private int _entryBytes = firstEntryBytes;

    /// <summary>Entries that one read may bring.</summary>
    public int Fitting => Math.Max(1, maxBytes / Volatile.Read(ref _entryBytes));

    /// <summary>Learns from what came: larger entries count at once, smaller ones halve the estimate at most, because few of them say little.</summary>
    public void Learn(long bytes, int count)
    {
        if (count > 0)
            Volatile.Write(ref _entryBytes, (int)Math.Max(Math.Max(1, bytes / count), Volatile.Read(ref _entryBytes) / 2));
    }

    /// <summary>Begins anew with few entries: a call failed, maybe because it brought too much.</summary>
    public void Forget() => Volatile.Write(ref _entryBytes, Math.Min(maxBytes, StreamLimits.MaxEntryBytes));
}
