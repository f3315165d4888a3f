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

    /// <summary>Whether nobody waits for a key.</summary>
    public bool IsEmpty => _queues.Count == 0;

    /// <summary>Number of reads that wait.</summary>
    public int Count { get; private set; }

    /// <summary>The keys somebody waits for.</summary>
    public IReadOnlyCollection<KeyRef> Keys => _queues.Keys;

    public void Add(BlockedRead read)
    {
        Count++;
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
    /// Lets the reads of a key try again: all without a group, and of each group the first ones, as long as there are entries.
    /// </summary>
    public void Wake(KeyRef key, long nowMs)
    {
        if (!_queues.TryGetValue(key, out var groups))
            return;

        // Copied, because serving a read may take its queue away.
        foreach (var (group, queue) in groups.ToArray())
        {
            for (var place = queue.First; place is not null;)
            {
                var read = place.Value;
                place = place.Next;
                if (read.TryServe(nowMs))
                    Remove(read);
                else if (group != NoGroup)
                    break;
            }
        }
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
}
