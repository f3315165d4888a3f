using System.Collections;

namespace Millrace.Streams.Engine;

/// <summary>The IDs of entries that were appended together, each the next after the one before: a list that needs no array.</summary>
internal sealed class ConsecutiveIds(EntryId first, int count) : IReadOnlyList<EntryId>
{
    public int Count => count;

    public EntryId this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)count, nameof(index));
            var sequence = first.Sequence + (ulong)index;
            return sequence >= first.Sequence ? first with { Sequence = sequence } : new(first.Milliseconds + 1, sequence);
        }
    }

    public IEnumerator<EntryId> GetEnumerator()
    {
        for (var i = 0; i < count; i++)
            yield return this[i];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
