using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Millrace.Streams.Engine;

/// <summary>
/// The entries of a stream from one ID to another, both included, in order or in reverse, without those that were deleted. Allocates
/// nothing; valid until the stream changes.
/// </summary>
internal ref struct EntryRange
{
    private readonly BlockList _blocks;

    /// <summary>Where the walk ends: the largest ID wanted, or in reverse the smallest.</summary>
    private readonly EntryId _bound;
    private readonly bool _reversed;

    /// <summary>The block the walk is in, and its index; null when the walk is over.</summary>
    private EntryBlock? _block;
    private int _at;

    /// <summary>The index of the next entry in the block; in reverse, the index behind it.</summary>
    private int _index;

    /// <summary>Forward: where the next entry begins.</summary>
    private int _offset;

    /// <summary>
    /// In reverse: where the entries from one checkpoint to the next begin. Entries can only be stepped over forwards, so they are found
    /// one group at a time.
    /// </summary>
    private GroupOffsets _group;
    private int _groupIndex = -1;
    private EntryView _current;

    internal EntryRange(BlockList blocks, EntryId first, EntryId last, bool reversed)
    {
        _blocks = blocks;
        _reversed = reversed;
        _bound = reversed ? first : last;
        if (first > last)
            return;

        var from = reversed ? last : first;
        _at = blocks.IndexOf(from);
        if (_at < 0 && !reversed)
            _at = 0;
        if (_at < 0 || _at >= blocks.Count)
            return;
        _block = blocks[_at];
        _index = reversed ? _block.UpperBound(from) : _block.LowerBound(from, out _offset);
    }

    /// <summary>The entry the walk stands at. By reference: a view is large to copy.</summary>
    [UnscopedRef]
    public readonly ref readonly EntryView Current => ref _current;

    public readonly EntryRange GetEnumerator() => this;

    public bool MoveNext() => _reversed ? MoveBack() : MoveForward();

    /// <summary>Counts the entries that are left, but not further than a limit, and the bytes of their fields when they are packed.</summary>
    public readonly int Measure(int limit, out long packedBytes)
    {
        packedBytes = 0;
        var count = 0;
        for (var range = this; count < limit && range.MoveNext(); count++)
            packedBytes += range._current.PackedSize;
        return count;
    }

    private bool MoveForward()
    {
        while (_block is { } block)
        {
            if (_index == block.Stored)
            {
                _block = ++_at < _blocks.Count ? _blocks[_at] : null;
                _index = _offset = 0;
                continue;
            }

            _current = EntryView.At(block, _offset);
            _offset = _current.End;
            if (_current.Id > _bound)
                _block = null;
            else if (!block.IsDeleted(_index++))
                return true;
        }

        return false;
    }

    private bool MoveBack()
    {
        while (_block is { } block)
        {
            if (_index == 0)
            {
                _block = --_at >= 0 ? _blocks[_at] : null;
                _index = _block?.Stored ?? 0;
                _groupIndex = -1;
                continue;
            }

            if (--_index / EntryBlock.CheckpointInterval != _groupIndex)
                FindGroup(block);
            _current = EntryView.At(block, _group[_index % EntryBlock.CheckpointInterval]);
            if (_current.Id < _bound)
                _block = null;
            else if (!block.IsDeleted(_index))
                return true;
        }

        return false;
    }

    /// <summary>Steps from the checkpoint up to the entry wanted.</summary>
    private void FindGroup(EntryBlock block)
    {
        _groupIndex = _index / EntryBlock.CheckpointInterval;
        var offset = block.OffsetOfCheckpoint(_groupIndex);
        for (var i = 0; i <= _index % EntryBlock.CheckpointInterval; i++)
        {
            _group[i] = offset;
            offset = EntryView.At(block, offset).End;
        }
    }

    [InlineArray(EntryBlock.CheckpointInterval)]
    private struct GroupOffsets
    {
        private int _first;
    }
}
