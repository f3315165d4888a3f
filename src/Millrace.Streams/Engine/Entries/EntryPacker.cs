namespace Millrace.Streams.Engine;

/// <summary>
/// Copies the fields of many entries out of their blocks into few buffers, which the garbage collector owns: one for as many entries as
/// stay off the large object heap together, so that keeping one entry keeps no more than that.
/// </summary>
/// <param name="packedBytes">What all of them take, as <see cref="EntryRange.Measure"/> says.</param>
internal struct EntryPacker(long packedBytes)
{
    private const int MaxBufferBytes = 64 * 1024;

    private long _bytesLeft = packedBytes;
    private byte[] _buffer = [];
    private int _used;

    public EntryFields Pack(in EntryView entry)
    {
        var size = entry.PackedSize;
        if (_buffer.Length - _used < size)
        {
            _buffer = GC.AllocateUninitializedArray<byte>((int)Math.Max(size, Math.Min(_bytesLeft, MaxBufferBytes)));
            _used = 0;
        }

        var packed = _buffer.AsMemory(_used, size);
        entry.CopyTo(packed.Span);
        _used += size;
        _bytesLeft -= size;
        return EntryFields.FromTrusted(packed, entry.FieldCount);
    }
}
