using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>One frame being filled: the place of its header and the records behind it, as they will lie on disk. Not safe for concurrent use.</summary>
internal sealed class FrameBuffer
{
    /// <summary>One mutation is some hundred bytes; frames of a busy store grow from here.</summary>
    private const int InitialBytes = 64 * 1024;

    private byte[] _bytes = new byte[InitialBytes];
    private int _count;
    private long _firstLsn;

    /// <summary>Bytes of the frame, its header included.</summary>
    public int Length { get; private set; } = JournalFormat.FrameHeaderBytes;

    /// <summary>Bytes it has room for.</summary>
    public int Capacity => _bytes.Length;

    /// <summary>Whether the journal begins a new segment with this frame.</summary>
    public bool BeginsSegment { get; private set; }

    /// <summary>The LSN of its first record.</summary>
    public long FirstLsn => _firstLsn;

    /// <summary>The LSN of its last record.</summary>
    public long LastLsn => _firstLsn + _count - 1;

    /// <summary>Empties the frame for its next filling.</summary>
    public void Begin(long firstLsn, bool beginsSegment)
    {
        _firstLsn = firstLsn;
        _count = 0;
        Length = JournalFormat.FrameHeaderBytes;
        BeginsSegment = beginsSegment;
    }

    /// <summary>Whether a record fits in without making the payload larger than the limit. An empty frame takes every record.</summary>
    public bool HasRoom(int recordBytes, int payloadLimit) =>
        _count == 0
        || (Length - JournalFormat.FrameHeaderBytes + Varint.MaxLength + recordBytes <= payloadLimit && _count < JournalFormat.MaxFrameRecords);

    /// <summary>Copies a record to the end.</summary>
    public void Add(ReadOnlySpan<byte> record)
    {
        var needed = Length + Varint.MaxLength + record.Length;
        if (needed > _bytes.Length)
            Array.Resize(ref _bytes, Math.Max(needed, 2 * _bytes.Length));

        Length += Varint.Write(_bytes.AsSpan(Length), (uint)record.Length);
        record.CopyTo(_bytes.AsSpan(Length));
        Length += record.Length;
        _count++;
    }

    /// <summary>Writes the header and hands out the bytes as they go to the file.</summary>
    public ReadOnlySpan<byte> Seal(ulong salt, long syncedLsn)
    {
        var payload = _bytes.AsSpan(JournalFormat.FrameHeaderBytes, Length - JournalFormat.FrameHeaderBytes);
        JournalFormat.WriteFrameHeader(
            _bytes, salt, new(FrameKind.Records, payload.Length, _count, JournalFormat.PayloadCrc(payload), _firstLsn, syncedLsn));
        return _bytes.AsSpan(0, Length);
    }
}
