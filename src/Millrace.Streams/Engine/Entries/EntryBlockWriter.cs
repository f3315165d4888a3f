using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>
/// Packs entries into the open block of a stream, in a buffer that serves one block after the other: only a sealed block is allocated, in
/// exactly its size. The encoding is drawn at <see cref="EntryBlock"/>.
/// </summary>
internal sealed partial class EntryBlockWriter
{
    /// <summary>
    /// Shapes looked for in a block. A stream with more of them in turn writes names again; more would make its appends slow instead.
    /// </summary>
    private const int MaxShapes = 16;

    /// <summary>The buffer doubles up to here, just off the large object heap; one that a large entry blew up is given back.</summary>
    private const int KeptBufferBytes = 80 * 1024;

    private const int FirstBufferBytes = 64;

    /// <summary>
    /// Blocks from here on go where the collector does not move them: most live long, and would be copied twice on their way to the oldest
    /// generation, a seventh of the processor time of a busy server. Smaller ones would leave holes worth more than that.
    /// </summary>
    public const int PinnedBytes = 4 * 1024;

    /// <summary>What an entry needs beside its packed fields: two numbers of its ID, two of its shape, a field count and a checkpoint.</summary>
    private const int MaxOverheadBytes = (2 * Varint.MaxLength) + (3 * 5) + sizeof(int);

    /// <summary>The bytes of the open block, entries from the front, checkpoints from the end.</summary>
    private byte[] _buffer = [];

    /// <summary>Where the shapes of the open block stand: the latest <see cref="MaxShapes"/>.</summary>
    private int[] _shapes = new int[1];

    /// <summary>Shapes written into the open block.</summary>
    private int _shapesWritten;

    /// <summary>The place in <see cref="_shapes"/> of the last entry's shape, which the next one most likely has too.</summary>
    private int _lastShape;

    /// <summary>
    /// A clone has the same buffer: it is not written any more. Whoever appends next takes a copy of the open block into a buffer of its own.
    /// </summary>
    private bool _isShared;

    public int BufferBytes => _buffer.Length;

    /// <summary>A block that begins with an entry that is appended next.</summary>
    public EntryBlock Open(EntryId baseId, int generation)
    {
        _shapesWritten = 0;
        _lastShape = 0;
        LeaveShared();
        var block = new EntryBlock(baseId, generation);
        block.MoveTo(_buffer);
        return block;
    }

    /// <summary>Goes on with a sealed block. Its shapes are written again when they are needed.</summary>
    public void Reopen(EntryBlock block)
    {
        _shapesWritten = 0;
        _lastShape = 0;
        LeaveShared();
        if (_buffer.Length < block.Bytes.Length)
            _buffer = new byte[block.Bytes.Length];
        CopyTo(_buffer, block);
        block.MoveTo(_buffer);
    }

    /// <summary>Adds an entry to the open block.</summary>
    /// <param name="block">The block.</param>
    /// <param name="id">The entry's ID, above every other of the block.</param>
    /// <param name="packed">Its fields as <see cref="EntryFields.Packed"/> has them.</param>
    /// <param name="fieldCount">How many these are.</param>
    public void Append(EntryBlock block, EntryId id, ReadOnlySpan<byte> packed, int fieldCount)
    {
        var checkpointBytes = EntryBlock.CheckpointBytes(block.Stored);
        var needed = block.Used + packed.Length + MaxOverheadBytes + checkpointBytes;
        if (needed > _buffer.Length || _isShared)
            Grow(block, needed);

        var bytes = _buffer.AsSpan();
        var at = block.Used;
        if (block.Stored > 0 && block.Stored % EntryBlock.CheckpointInterval == 0)
            BinaryPrimitives.WriteInt32LittleEndian(bytes[^(checkpointBytes + sizeof(int))..], at);

        var msDelta = id.Milliseconds - block.BaseId.Milliseconds;
        at += Varint.Write(bytes[at..], msDelta);
        at += Varint.Write(bytes[at..], msDelta == 0 ? id.Sequence - block.BaseId.Sequence : id.Sequence);
        if (!TryWriteKnownShape(packed, fieldCount, ref at))
            WriteNewShape(packed, fieldCount, ref at);
        block.Extend(id, at);
    }

    /// <summary>Copies the open block out of the buffer, which is free for the next one.</summary>
    public void Seal(EntryBlock block)
    {
        Debug.Assert(block.Bytes == _buffer, "The block is open.");
        var size = block.Used + EntryBlock.CheckpointBytes(block.Stored);
        var exact = GC.AllocateUninitializedArray<byte>(size, pinned: size >= PinnedBytes);
        CopyTo(exact, block);
        block.MoveTo(exact);
        LeaveShared();
        if (_buffer.Length > KeptBufferBytes)
            _buffer = [];
    }

    /// <summary>Writes a sealed block again without its deleted entries. What it counts and the IDs it spans stay as they are.</summary>
    public static void Squeeze(EntryBlock block)
    {
        var writer = new EntryBlockWriter { _buffer = new byte[(block.Bytes.Length / 2) + MaxOverheadBytes] };
        var squeezed = writer.Open(block.BaseId, block.Generation);

        // An entry with its names is never larger than the block in which they stand.
        var scratch = ArrayPool<byte>.Shared.Rent(block.Used);
        for (int index = 0, offset = 0; index < block.Stored; index++)
        {
            var entry = EntryView.At(block, offset);
            offset = entry.End;
            if (block.IsDeleted(index))
                continue;

            entry.CopyTo(scratch);
            writer.Append(squeezed, entry.Id, scratch.AsSpan(0, entry.PackedSize), entry.FieldCount);
        }

        ArrayPool<byte>.Shared.Return(scratch);
        writer.Seal(squeezed);
        block.SqueezeTo(squeezed);
    }

    /// <summary>A writer of its own with the same block open.</summary>
    public EntryBlockWriter Clone()
    {
        _isShared = true;
        var clone = (EntryBlockWriter)MemberwiseClone();
        clone._shapes = (int[])_shapes.Clone();
        return clone;
    }

    private void LeaveShared()
    {
        if (_isShared)
            _buffer = [];
        _isShared = false;
    }

    /// <summary>Copies what a block holds to another array: entries to its front, checkpoints to its end.</summary>
    private static void CopyTo(byte[] target, EntryBlock block)
    {
        block.Bytes.AsSpan(0, block.Used).CopyTo(target);
        var checkpointBytes = EntryBlock.CheckpointBytes(block.Stored);
        block.Bytes.AsSpan(block.Bytes.Length - checkpointBytes).CopyTo(target.AsSpan(target.Length - checkpointBytes));
    }

    private static ReadOnlySpan<byte> NextPart(ReadOnlySpan<byte> packed, ref int offset)
    {
        var start = offset;
        var length = (int)Varint.ReadTrusted(packed, ref offset);
        offset += length;
        return packed[start..offset];
    }

    private void Grow(EntryBlock block, int needed)
    {
        var grown = new byte[Math.Max(needed, Math.Clamp(_buffer.Length * 2, FirstBufferBytes, KeptBufferBytes))];
        CopyTo(grown, block);
        _buffer = grown;
        _isShared = false;
        block.MoveTo(grown);
    }

    private bool TryWriteKnownShape(ReadOnlySpan<byte> packed, int fieldCount, ref int at)
    {
        var known = Math.Min(_shapesWritten, MaxShapes);
        for (var i = 0; i < known; i++)
        {
            var place = _lastShape + i < known ? _lastShape + i : _lastShape + i - known;
            var shape = _shapes[place];
            var valuesAt = at + Varint.Write(_buffer.AsSpan(at), (ulong)shape);
            if (!TryWriteValues(packed, fieldCount, shape, ref valuesAt))
                continue;
            _lastShape = place;
            at = valuesAt;
            return true;
        }

        return false;
    }

    /// <summary>Writes the values while the names are those of a shape; false at the first that is not.</summary>
    private bool TryWriteValues(ReadOnlySpan<byte> packed, int fieldCount, int shape, ref int at)
    {
        var bytes = _buffer.AsSpan();
        if ((int)Varint.ReadTrusted(bytes, ref shape) != fieldCount)
            return false;
        var nameBytes = (int)Varint.ReadTrusted(bytes, ref shape);
        if (fieldCount == 1)
        {
            // The usual case in one comparison and one copy: the packed field is the name with its length, then the value with its.
            if (!packed.StartsWith(bytes.Slice(shape, nameBytes)))
                return false;
            packed[nameBytes..].CopyTo(bytes[at..]);
            at += packed.Length - nameBytes;
            return true;
        }

        for (var offset = 0; offset < packed.Length;)
        {
            // The shape may have shorter names, but there is always room behind it for as many bytes as are packed.
            var name = NextPart(packed, ref offset);
            if (!name.SequenceEqual(bytes.Slice(shape, name.Length)))
                return false;
            shape += name.Length;
            var value = NextPart(packed, ref offset);
            value.CopyTo(bytes[at..]);
            at += value.Length;
        }

        return true;
    }

    private void WriteNewShape(ReadOnlySpan<byte> packed, int fieldCount, ref int at)
    {
        var bytes = _buffer.AsSpan();
        bytes[at++] = 0;
        Remember(at);
        var nameBytes = 0;
        for (var offset = 0; offset < packed.Length; NextPart(packed, ref offset))
            nameBytes += NextPart(packed, ref offset).Length;

        at += Varint.Write(bytes[at..], (ulong)fieldCount);
        at += Varint.Write(bytes[at..], (ulong)nameBytes);
        var valuesAt = at + nameBytes;
        for (var offset = 0; offset < packed.Length;)
        {
            var name = NextPart(packed, ref offset);
            name.CopyTo(bytes[at..]);
            at += name.Length;
            var value = NextPart(packed, ref offset);
            value.CopyTo(bytes[valuesAt..]);
            valuesAt += value.Length;
        }

        at = valuesAt;
    }

    private void Remember(int shape)
    {
        _lastShape = _shapesWritten++ % MaxShapes;
        if (_lastShape == _shapes.Length)
            Array.Resize(ref _shapes, _shapes.Length * 2);
        _shapes[_lastShape] = shape;
    }
}
