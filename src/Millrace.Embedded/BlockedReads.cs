using System.Runtime.InteropServices;
using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Embedded;

/// <summary>
/// The reads that wait, by key and group, each group's in the order they came. Called under the store's lock.
/// </summary>
internal sealed class BlockedReads
{
    /// <summary>Stands for reads without a group; no group has an empty name.</summary>
    private const string NoGroup = "";

    private readonly Dictionary<KeyRef, Dictionary<string, LinkedList<BlockedRead>>> _queues = [];

    /// <summary>Those that wait for something else than a key: only their time, or who knows of them, ends the wait.</summary>
    private readonly LinkedList<BlockedRead> _keyless = [];

    /// <summary>Those that wait to claim what becomes idle, by when to try again, and among equals in the order they came.</summary>
    private readonly SortedSet<BlockedRead> _claims = new(Comparer<BlockedRead>.Create(static (a, b) =>
        (a.NextTryMs!.Value, a.Order).CompareTo((b.NextTryMs!.Value, b.Order))));

    private long _lastOrder;

    /// <summary>Whether nobody waits for a key.</summary>
    public bool IsEmpty => _queues.Count == 0;

    /// <summary>Number of reads that wait.</summary>
    public int Count { get; private set; }

    /// <summary>Whether anybody waits to claim.</summary>
    public bool HasClaims => _claims.Count > 0;

    /// <summary>When the first of those that wait to claim must try again, in Unix milliseconds; <see cref="long.MaxValue"/>: never.</summary>
    public long NextTryMs { get; private set; } = long.MaxValue;

    /// <summary>The keys somebody waits for.</summary>
    public IReadOnlyCollection<KeyRef> Keys => _queues.Keys;

    public void Add(BlockedRead read)
    {
        Count++;
        read.Order = ++_lastOrder;
        AddClaim(read);
        if (read.Streams.Count == 0)
            read.Places.Add(_keyless.AddLast(read));
        foreach (var stream in read.Streams.Distinct(StringComparer.Ordinal))
        {
            ref var groups = ref CollectionsMarshal.GetValueRefOrAddDefault(_queues, new(read.Database, stream), out _);
            groups ??= new(StringComparer.Ordinal);
            ref var queue = ref CollectionsMarshal.GetValueRefOrAddDefault(groups, read.Group ?? NoGroup, out _);
            read.Places.Add((queue ??= new()).AddLast(read));
        }
    }

    /// <summary>Takes a read out of the queues; false when it waits no longer.</summary>
    public bool Remove(BlockedRead read)
    {
        if (read.Places.Count == 0)
            return false;

        foreach (var place in read.Places)
            place.List!.Remove(place);
        Count--;
        RemoveClaim(read);
        read.Places.Clear();
        read.Timer?.Dispose();
        foreach (var stream in read.Streams)
        {
            var key = new KeyRef(read.Database, stream);
            if (!_queues.TryGetValue(key, out var groups))
                continue;
            if (groups.TryGetValue(read.Group ?? NoGroup, out var queue) && queue.Count == 0)
                groups.Remove(read.Group ?? NoGroup);
            if (groups.Count == 0)
                _queues.Remove(key);
        }

        return true;
    }

    /// <summary>
    /// Lets the reads of a key try again: all without a group, and of each group the first ones, as long as there are new entries; behind them
    /// those that claim pending ones.
    /// </summary>
    public void Wake(KeyRef key, long nowMs)
    {
        if (!_queues.TryGetValue(key, out var groups))
            return;

        // Copied, because serving a read may take its queue away.
        foreach (var (group, queue) in groups.ToArray())
        {
            var hasNew = true;
            for (var place = queue.First; place is not null && (hasNew || HasClaims);)
            {
                var read = place.Value;
                place = place.Next;
                if ((hasNew || read.NextTryMs is not null) && !TryServe(read, nowMs))
                    hasNew &= group == NoGroup;
            }
        }
    }

    /// <summary>The read that must try again first, if any must by now.</summary>
    public BlockedRead? FirstDue(long nowMs) => NextTryMs <= nowMs ? _claims.Min : null;

    /// <summary>Lets one read try again, and takes it out when its wait is over.</summary>
    /// <returns>Whether it is.</returns>
    public bool TryServe(BlockedRead read, long nowMs)
    {
        // A try may change its place among those that claim.
        RemoveClaim(read);
        var isServed = read.TryServe(nowMs);
        if (isServed)
            Remove(read);
        else
            AddClaim(read);
        return isServed;
    }

    /// <summary>Ends every wait: the store closes.</summary>
    public void FailAll(StreamException error)
    {
        foreach (var read in _queues.Values.SelectMany(groups => groups.Values).Append(_keyless).SelectMany(queue => queue).Distinct().ToArray())
        {
            Remove(read);
            read.Fail(error);
        }
    }

    private void AddClaim(BlockedRead read)
    {
        if (read.NextTryMs is not { } nextTryMs)
            return;
        _claims.Add(read);
        NextTryMs = Math.Min(NextTryMs, nextTryMs);
    }

    private void RemoveClaim(BlockedRead read)
    {
        if (read.NextTryMs is not null && _claims.Remove(read))
            NextTryMs = _claims.Min?.NextTryMs ?? long.MaxValue;
    }
}
