using System.Collections;
using System.Diagnostics;
using System.Text;
using Millrace.Streams.Names;

namespace Millrace.Streams.Engine;

/// <summary>The keys of one database with their values.</summary>
/// <remarks>
/// Beside the hash table every key has a slot, a place in a list that it keeps as long as it lives. A scan walks the slots, so that its
/// cursor is an index and a key that lives through the whole scan is returned exactly once, whatever comes and goes meanwhile.
/// </remarks>
internal sealed class Keyspace : IEnumerable<KeyValuePair<string, KeyspaceValue>>
{
    private readonly Dictionary<string, KeyspaceValue> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<string, KeyspaceValue>.AlternateLookup<ReadOnlySpan<char>> _bySpan;
    private readonly List<KeyspaceValue?> _slots = [];

    /// <summary>Slots of deleted keys, for the next ones. May name slots that were cut off since.</summary>
    private readonly Stack<int> _freeSlots = new();

    /// <summary>What was found last, while it is there: commands in a row mostly name the same key, and a comparison is cheaper than a hash.</summary>
    private KeyspaceValue? _last;

    public Keyspace() => _bySpan = _values.GetAlternateLookup<ReadOnlySpan<char>>();

    public int Count => _values.Count;

    /// <summary>Number of slots: the end of a scan.</summary>
    public int SlotCount => _slots.Count;

    public IReadOnlyCollection<KeyspaceValue> Values => _values.Values;

    public KeyspaceValue? Find(string key)
    {
        if (_last is { } last && last.Key == key)
            return last;
        if (!_values.TryGetValue(key, out var value))
            return null;
        return _last = value;
    }

    /// <summary>Finds the value of a key whose name comes as bytes. Allocates nothing for names of up to 256 bytes.</summary>
    public KeyspaceValue? Find(ReadOnlySpan<byte> name)
    {
        if (_last is { } last && Ascii.Equals(name, last.Key))
            return last;
        Span<char> text = name.Length <= 256 ? stackalloc char[256] : new char[name.Length];
        if (!_bySpan.TryGetValue(text[..KeyText.Decode(name, text)], out var value))
            return null;
        return _last = value;
    }

    /// <summary>The key in a slot, or null when the slot is free.</summary>
    public KeyspaceValue? InSlot(int slot) => _slots[slot];

    /// <summary>Puts a value under a key, which must be free.</summary>
    public void Add(string key, KeyspaceValue value)
    {
        _values.Add(key, value);
        value.Key = key;
        while (_freeSlots.TryPop(out var free))
        {
            if (free >= _slots.Count)
                continue;
            _slots[free] = value;
            value.Slot = free;
            return;
        }

        value.Slot = _slots.Count;
        _slots.Add(value);
    }

    /// <summary>Puts a value in the place of another one, in its slot: a scan under way sees the key as one that lived on.</summary>
    public void Replace(KeyspaceValue old, KeyspaceValue value)
    {
        _last = null;
        _values[old.Key] = value;
        _slots[old.Slot] = value;
        (value.Key, value.Slot) = (old.Key, old.Slot);
    }

    public KeyspaceValue? Remove(string key)
    {
        if (!_values.Remove(key, out var value))
            return null;
        _last = null;
        _slots[value.Slot] = null;
        if (value.Slot < _slots.Count - 1)
        {
            _freeSlots.Push(value.Slot);
            return value;
        }

        while (_slots.Count > 0 && _slots[^1] is null)
            _slots.RemoveAt(_slots.Count - 1);
        if (_slots.Count == 0)
            _freeSlots.Clear();
        return value;
    }

    public void Clear()
    {
        _last = null;
        _values.Clear();
        _slots.Clear();
        _freeSlots.Clear();
    }

    public bool ContainsKey(string key) => _values.ContainsKey(key);

    public IEnumerator<KeyValuePair<string, KeyspaceValue>> GetEnumerator() => _values.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    [Conditional("DEBUG")]
    public void Verify()
    {
        foreach (var (key, value) in _values)
        {
            Debug.Assert(value.Key == key, "A value knows its key.");
            Debug.Assert(_slots[value.Slot] == value, "A value knows its slot.");
        }

        Debug.Assert(_last is null || _values[_last.Key] == _last, "What was found last is there.");
        Debug.Assert(_slots.Count(slot => slot is not null) == _values.Count, "Every other slot is free.");
    }
}
