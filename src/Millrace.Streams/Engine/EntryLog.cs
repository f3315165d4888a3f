namespace Millrace.Streams.Engine;

/// <summary>The entries of one stream, by ID. The only code that knows how they are kept.</summary>
internal sealed class EntryLog
{
    private readonly IdMap<EntryFields> _entries = new();

    public long Count => _entries.Count;

    public StreamEntry? First => Count == 0 ? null : this[_entries.FirstId];

    public StreamEntry? Last => Count == 0 ? null : this[_entries.LastId];

    /// <summary>The oldest entry's ID, or 0-0 when there is none.</summary>
    public EntryId FirstId => Count == 0 ? EntryId.Zero : _entries.FirstId;

    /// <summary>The newest entry's ID, or 0-0 when there is none.</summary>
    public EntryId LastId => Count == 0 ? EntryId.Zero : _entries.LastId;

    private StreamEntry this[EntryId id] => new(id, _entries.Find(id));

    /// <summary>Adds an entry; its ID must be above every other.</summary>
    public void Append(EntryId id, EntryFields fields) => _entries.Add(id, fields);

    public bool Contains(EntryId id) => _entries.Contains(id);

    public bool TryGet(EntryId id, out EntryFields fields) => _entries.TryGet(id, out fields);

    public bool Delete(EntryId id) => _entries.Remove(id);

    /// <summary>Drops the oldest entries; approximate trimming drops whole chunks only.</summary>
    /// <returns>How many were dropped.</returns>
    public long Trim(StreamTrim trim) => trim.MinId is { } minId
        ? _entries.RemoveBelow(minId, trim.IsApproximate)
        : _entries.RemoveFirst(Math.Max(0, Count - trim.MaxLength!.Value), trim.IsApproximate);

    /// <summary>Copies a range out, both bounds included, the first <paramref name="count"/> in the direction asked for.</summary>
    public StreamEntry[] Read(EntryId first, EntryId last, int count, bool reversed = false)
    {
        if (first > last || CountRange(first, last, count) is not (> 0 and var size))
            return [];

        var entries = new StreamEntry[size];
        var filled = 0;
        foreach (var (id, fields) in _entries.From(first, last, reversed))
        {
            entries[filled++] = new(id, fields);
            if (filled == size)
                break;
        }

        return entries;
    }

    public int CountRange(EntryId first, EntryId last, int limit) => _entries.CountRange(first, last, limit);

    /// <summary>Walks a range in order, both bounds included.</summary>
    public IdMap<EntryFields>.Range From(EntryId first, EntryId last) => _entries.From(first, last);

    public void Verify() => _entries.Verify();
}
