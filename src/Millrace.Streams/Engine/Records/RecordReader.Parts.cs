namespace Millrace.Streams.Engine.Records;

/// <summary>Reading what lies across the parts of a record that comes in many.</summary>
internal ref partial struct RecordReader
{
    /// <summary>Allocated at once for bytes that are still to come; beyond, only as they do come.</summary>
    private const int TrustedBytes = 16 * 1024 * 1024;

    /// <summary>Bytes without a length in front, copied.</summary>
    /// <param name="length">How many.</param>
    /// <param name="pinned">Whether the collector is to leave the array where it is.</param>
    public byte[] Raw(int length, bool pinned = false)
    {
        var bytes = GC.AllocateUninitializedArray<byte>(Math.Min(length, Math.Max(TrustedBytes, _record.Length - _offset)), pinned);
        for (var filled = 0; filled < length;)
        {
            if (filled == bytes.Length)
                Array.Resize(ref bytes, (int)Math.Min(length, 2L * filled));
            if (_offset == _record.Length)
                NextPart();
            var count = Math.Min(bytes.Length - filled, _record.Length - _offset);
            _record.Slice(_offset, count).CopyTo(bytes.AsSpan(filled));
            _offset += count;
            filled += count;
        }

        return bytes;
    }

    private ulong NumberAcrossParts(int start)
    {
        if (nextPart is null)
            throw EngineErrors.Damaged("a number is cut off", _offset);
        Span<byte> bytes = stackalloc byte[Varint.MaxLength];
        _offset = start;
        var (length, at) = (0, 0);
        do
        {
            bytes[length] = Byte();
        }
        while (bytes[length++] >= 0x80 && length < bytes.Length);
        return Varint.TryRead(bytes[..length], ref at, out var value) ? value : throw EngineErrors.Damaged("a number is too large", _offset);
    }

    private void NextPart()
    {
        var part = nextPart is null ? default : nextPart();
        if (part.IsEmpty)
            throw EngineErrors.Damaged("it is cut off", _offset);
        _record = part.Span;
        _offset = 0;
    }
}
