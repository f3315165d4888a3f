using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// How many entries <see cref="ConsumerOptions.PrefetchBytes"/> allow, by the size of those that came. A store is asked for a number of entries, and what they
/// weigh shows when they are here: on Redis a reply over its limit costs the connection. Safe for all threads; a stale value is as good as the last one.
/// </summary>
internal sealed class ReadAhead(ConsumerOptions options)
{
    // What the next entries are taken to weigh each.
    private int _entryBytes = StreamLimits.MaxEntryBytes;

    /// <summary>Entries that may wait for handlers.</summary>
    public int Entries => Math.Min(options.EffectivePrefetch, Fitting);

    /// <summary>Entries that one call may bring.</summary>
    public int Fitting => Math.Max(1, options.PrefetchBytes / Volatile.Read(ref _entryBytes));

    /// <summary>Room that is worth a read: half of what may wait, so that a busy group reads in batches; while less is free, every handler has work.</summary>
    public int WantedRoom => Math.Max(1, Entries / 2);

    /// <summary>Learns from what came: larger entries count at once, smaller ones halve the estimate at most, because few of them say little.</summary>
    public void Learn(long bytes, int count)
    {
        if (count > 0)
            Volatile.Write(ref _entryBytes, (int)Math.Max(Math.Max(1, bytes / count), _entryBytes / 2));
    }

    /// <summary>Begins anew with few entries: a call failed, maybe because it brought too much.</summary>
    public void Forget() => Volatile.Write(ref _entryBytes, StreamLimits.MaxEntryBytes);
}
