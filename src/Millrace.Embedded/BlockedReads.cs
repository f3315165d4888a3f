using System.Runtime.InteropServices;
using Millrace.Streams;

namespace Millrace.Embedded;

/// <summary>
/// The reads that wait for entries, by stream and group, each group's in the order they came. Called under the store's lock.
/// </summary>
internal sealed class BlockedReads
{
    /// <summary>Stands for reads without a group; no group has an empty name.</summary>
    private const string NoGroup = "";

    private readonly Dictionary<string, Dictionary<string, LinkedList<BlockedRead>>> _queues = new(StringComparer.Ordinal);

    public bool IsEmpty => _queues.Count == 0;

    public void Add(BlockedRead read)
    {
        foreach (var stream in read.Streams.Distinct(StringComparer.Ordinal))
        {
            ref var groups = ref CollectionsMarshal.GetValueRefOrAddDefault(_queues, stream, out _);
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
        read.Places.Clear();
        foreach (var stream in read.Streams)
        {
            if (!_queues.TryGetValue(stream, out var groups))
                continue;
            if (groups.TryGetValue(read.Group ?? NoGroup, out var queue) && queue.Count == 0)
                groups.Remove(read.Group ?? NoGroup);
            if (groups.Count == 0)
                _queues.Remove(stream);
        }

        return true;
    }

    /// <summary>
    /// Lets the reads of a stream try again: all without a group, and of each group the first ones, as long as there are entries.
    /// </summary>
    public void Wake(string stream, long nowMs)
    {
        if (!_queues.TryGetValue(stream, out var groups))
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
        foreach (var read in _queues.Values.SelectMany(groups => groups.Values).SelectMany(queue => queue).Distinct().ToArray())
        {
            Remove(read);
            read.Fail(error);
        }
    }
}
