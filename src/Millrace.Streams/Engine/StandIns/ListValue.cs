using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A list: a ring of strings that grows and shrinks at both ends. Never empty while it has a key.</summary>
internal sealed class ListValue : KeyspaceValue
{
    /// <summary>A power of two long.</summary>
    private byte[]?[] _ring = new byte[8][];

    /// <summary>Where the first item is.</summary>
    private int _first;

    private long _itemBytes;

    public int Count { get; private set; }

    public override string TypeName => "list";

    public override string Encoding => "quicklist";

    public override ValueKind Kind => ValueKind.List;

    /// <summary>An item is its place in the ring and an array.</summary>
    public override long SizeBytes => 64 + (_ring.Length * 8L) + (Count * 24L) + _itemBytes;

    public byte[] this[int index] => _ring[(_first + index) & (_ring.Length - 1)]!;

    public void Push(byte[] item, bool atHead)
    {
        if (Count == _ring.Length)
            Grow();
        if (atHead)
            _first = (_first - 1) & (_ring.Length - 1);
        _ring[(atHead ? _first : _first + Count) & (_ring.Length - 1)] = item;
        Count++;
        _itemBytes += item.Length;
    }

    /// <summary>Takes an item out. There must be one.</summary>
    public byte[] Pop(bool atHead)
    {
        ref var place = ref _ring[(atHead ? _first : _first + Count - 1) & (_ring.Length - 1)];
        var item = place!;
        place = null;
        if (atHead)
            _first = (_first + 1) & (_ring.Length - 1);
        Count--;
        _itemBytes -= item.Length;
        return item;
    }

    public override void Write(RecordWriter writer)
    {
        writer.Number(Count);
        for (var i = 0; i < Count; i++)
            writer.Bytes(this[i]);
    }

    public static ListValue Read(ref RecordReader reader)
    {
        var (list, left) = (new ListValue(), reader.Count());
        if (left == 0)
            throw EngineErrors.Damaged("a list is empty", 0);
        for (; left > 0; left--)
            list.Push(reader.Bytes(), atHead: false);
        return list;
    }

    public override KeyspaceValue Clone()
    {
        // Items never change, so that both lists can hold them.
        return new ListValue { _ring = (byte[]?[])_ring.Clone(), _first = _first, Count = Count, _itemBytes = _itemBytes };
    }

    private void Grow()
    {
        var ring = new byte[2 * _ring.Length][];
        for (var i = 0; i < Count; i++)
            ring[i] = this[i];
        (_ring, _first) = (ring, 0);
    }
}
