using System.Runtime.CompilerServices;

namespace Millrace.Streams.Engine;

/// <summary>An entry where it lies in its block. Valid until the stream changes.</summary>
internal readonly ref struct EntryView
{
    private readonly ReadOnlySpan<byte> _block;

    /// <summary>Where the names begin, each with its length, and how many bytes they take.</summary>
    private readonly int _namesAt;

    private readonly int _nameBytes;

    /// <summary>Where the values begin, each with its length.</summary>
    private readonly int _valuesAt;

    private EntryView(EntryId id, ReadOnlySpan<byte> block, int offset)
    {
        Id = id;
        _block = block;

        // Either the shape follows, with the values behind it, or it stands further to the front.
        var shape = (int)Varint.ReadTrusted(block, ref offset);
        _namesAt = shape == 0 ? offset : shape;
        FieldCount = (int)Varint.ReadTrusted(block, ref _namesAt);
        _nameBytes = (int)Varint.ReadTrusted(block, ref _namesAt);
        _valuesAt = shape == 0 ? _namesAt + _nameBytes : offset;

        var end = _valuesAt;
        for (var i = 0; i < FieldCount; i++)
            SkipPart(block, ref end);
        End = end;
    }

    public EntryId Id { get; }

    public int FieldCount { get; }

    /// <summary>Where the next entry of the block begins.</summary>
    public int End { get; }

    /// <summary>Bytes of the fields in the form of <see cref="EntryFields.Packed"/>.</summary>
    public int PackedSize => _nameBytes + End - _valuesAt;

    /// <summary>The entry that begins at an offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static EntryView At(EntryBlock block, int offset)
    {
        var id = ReadId(block.Bytes, block.BaseId, ref offset);
        return new(id, block.Bytes, offset);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static EntryId ReadId(ReadOnlySpan<byte> block, EntryId baseId, ref int offset)
    {
        var msDelta = Varint.ReadTrusted(block, ref offset);
        var sequence = Varint.ReadTrusted(block, ref offset);
        return msDelta == 0 ? new(baseId.Milliseconds, baseId.Sequence + sequence) : new(baseId.Milliseconds + msDelta, sequence);
    }

    /// <summary>The fields in order.</summary>
    public Enumerator GetEnumerator() => new(this);

    /// <summary>Copies the fields out in a buffer of their own.</summary>
    public EntryFields ToFields()
    {
        var packed = GC.AllocateUninitializedArray<byte>(PackedSize);
        CopyTo(packed);
        return EntryFields.FromTrusted(packed, FieldCount);
    }

    /// <summary>Copies the fields out in the form of <see cref="EntryFields.Packed"/>.</summary>
    /// <param name="packed">Room for at least <see cref="PackedSize"/> bytes.</param>
    public void CopyTo(Span<byte> packed)
    {
        if (FieldCount == 1)
        {
            _block.Slice(_namesAt, _nameBytes).CopyTo(packed);
            _block[_valuesAt..End].CopyTo(packed[_nameBytes..]);
            return;
        }

        int namesAt = _namesAt, valuesAt = _valuesAt, at = 0;
        for (var i = 0; i < FieldCount; i++)
        {
            CopyPart(packed, ref namesAt, ref at);
            CopyPart(packed, ref valuesAt, ref at);
        }
    }

    private void CopyPart(Span<byte> packed, ref int from, ref int at)
    {
        var start = from;
        SkipPart(_block, ref from);
        _block[start..from].CopyTo(packed[at..]);
        at += from - start;
    }

    private static void SkipPart(ReadOnlySpan<byte> block, ref int offset)
    {
        var length = (int)Varint.ReadTrusted(block, ref offset);
        offset += length;
    }

    /// <summary>Walks the names and the values of an entry side by side.</summary>
    public ref struct Enumerator
    {
        private readonly ReadOnlySpan<byte> _block;
        private int _namesAt;
        private int _valuesAt;
        private int _left;

        internal Enumerator(EntryView entry)
        {
            _block = entry._block;
            _namesAt = entry._namesAt;
            _valuesAt = entry._valuesAt;
            _left = entry.FieldCount;
        }

        public FieldView Current { get; private set; }

        public bool MoveNext()
        {
            if (_left-- <= 0)
                return false;
            var name = Take(ref _namesAt);
            Current = new(name, Take(ref _valuesAt));
            return true;
        }

        private readonly ReadOnlySpan<byte> Take(scoped ref int offset)
        {
            var length = (int)Varint.ReadTrusted(_block, ref offset);
            offset += length;
            return _block.Slice(offset - length, length);
        }
    }
}

/// <summary>A field of an <see cref="EntryView"/>.</summary>
internal readonly ref struct FieldView(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
{
    public ReadOnlySpan<byte> Name { get; } = name;

    public ReadOnlySpan<byte> Value { get; } = value;
}
