using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>The blocks of a stream in ID order. They come at the end and mostly leave at the front: both cost O(1).</summary>
internal sealed class BlockList
{
    private EntryBlock[] _blocks = [];

    /// <summary>Where the first block lies; before it there is room that leaving blocks left.</summary>
    private int _start;

    public int Count { get; private set; }

    public EntryBlock this[int index]
    {
        get => _blocks[_start + index];
        set => _blocks[_start + index] = value;
    }

    /// <summary>A list of its own of the same blocks.</summary>
    public BlockList Clone() => new() { _blocks = _blocks.AsSpan(_start, Count).ToArray(), Count = Count };

    public void Add(EntryBlock block)
    {
        if (_start + Count == _blocks.Length)
            MakeRoom();
        _blocks[_start + Count++] = block;
    }

    public void RemoveAt(int index)
    {
        Debug.Assert(index >= 0 && index < Count, "There is such a block.");
        if (index == 0)
        {
            _blocks[_start++] = null!;
        }
        else
        {
            Array.Copy(_blocks, _start + index + 1, _blocks, _start + index, Count - index - 1);
            _blocks[_start + Count - 1] = null!;
        }

        if (--Count == 0)
            _start = 0;
    }

    /// <summary>The index of the last block that begins at or below an ID; -1 when all begin above it.</summary>
    public int IndexOf(EntryId id)
    {
        // The newest block is asked for most.
        if (Count > 0 && this[Count - 1].BaseId <= id)
            return Count - 1;

        int low = -1, high = Count - 1;
        while (low + 1 < high)
        {
            var middle = (low + high) / 2;
            if (this[middle].BaseId <= id)
                low = middle;
            else
                high = middle;
        }

        return low;
    }

    /// <summary>Moves the blocks to the front when half of the array is free there, else into a larger array.</summary>
    private void MakeRoom()
    {
        var target = _start > _blocks.Length / 2 ? _blocks : new EntryBlock[Math.Max(2, _blocks.Length * 2)];
        Array.Copy(_blocks, _start, target, 0, Count);
        if (target == _blocks)
            Array.Clear(target, Count, _start);
        _blocks = target;
        _start = 0;
    }
}
