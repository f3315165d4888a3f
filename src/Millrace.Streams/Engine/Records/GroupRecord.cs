using System.Buffers;
using System.Buffers.Binary;

namespace Millrace.Streams.Engine.Records;

/// <summary>Mutation records on their way to the journal: what a transaction changed is one record, durable as a whole or not at all.</summary>
/// <remarks>
/// <code>
/// group    ┌─────────────┬─────────┬────────┬────────┬────────┬────────┬─
///          │ kind: Group │ version │ length │ record │ length │ record │ …
///          │ 1 byte      │ 1 byte  │ u32 LE │        │ u32 LE │        │
///          └─────────────┴─────────┴────────┴────────┴────────┴────────┴─
/// </code>
/// One record alone is written without this frame. A group holds no groups.
/// </remarks>
internal sealed class GroupRecord : IBufferWriter<byte>
{
    /// <summary>A buffer that one large record blew up is given back above this size.</summary>
    private const int KeptBytes = 1024 * 1024;

    private const int InitialBytes = 1024;
    private const int HeadBytes = 2;
    private const int LengthBytes = sizeof(int);

    private byte[] _bytes = new byte[InitialBytes];

    /// <summary>Where the length of the record in the making stands, or where the next one will begin.</summary>
    private int _start = HeadBytes;

    /// <summary>Records kept.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes so far, those of the record in the making included.</summary>
    public int Length { get; private set; } = HeadBytes;

    /// <summary>The record that was kept, or the group when there are several.</summary>
    public ReadOnlySpan<byte> Written => Count == 1 ? _bytes.AsSpan(HeadBytes + LengthBytes, Length - HeadBytes - LengthBytes) : _bytes.AsSpan(0, Length);

    /// <summary>Begins a record.</summary>
    public void Begin()
    {
        (_bytes[0], _bytes[1]) = ((byte)MutationKind.Group, MutationRecord.Version);
        GetSpan(LengthBytes);
        Length += LengthBytes;
    }

    /// <summary>Keeps the record that was written since <see cref="Begin"/>.</summary>
    public void Keep()
    {
        BinaryPrimitives.WriteInt32LittleEndian(_bytes.AsSpan(_start), Length - _start - LengthBytes);
        _start = Length;
        Count++;
    }

    /// <summary>Drops it.</summary>
    public void Drop() => Length = _start;

    /// <summary>Drops everything.</summary>
    public void Clear()
    {
        if (_bytes.Length > KeptBytes)
            _bytes = new byte[InitialBytes];
        (Count, Length, _start) = (0, HeadBytes, HeadBytes);
    }

    public void Advance(int count) => Length += count;

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        var least = Math.Max(sizeHint, 1);
        if (_bytes.Length - Length < least)
            Array.Resize(ref _bytes, checked((int)Math.Min(Math.Max(2L * _bytes.Length, (long)Length + least), Array.MaxLength)));
        return _bytes.AsSpan(Length);
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        GetSpan(sizeHint);
        return _bytes.AsMemory(Length);
    }

    /// <summary>Takes the records out of a group.</summary>
    /// <param name="group">The bytes behind kind and version; what is left of them after the call.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: it is cut off, or holds another group.</exception>
    public static ReadOnlySpan<byte> Next(ref ReadOnlySpan<byte> group)
    {
        if (group.Length < LengthBytes)
            throw EngineErrors.Damaged("a group is cut off", 0);
        var length = BinaryPrimitives.ReadUInt32LittleEndian(group);
        if (length == 0 || length > (uint)(group.Length - LengthBytes))
            throw EngineErrors.Damaged("a record is larger than its group, or empty", 0);
        var record = group.Slice(LengthBytes, (int)length);
        if (record[0] == (byte)MutationKind.Group)
            throw EngineErrors.Damaged("a group holds a group", 0);
        group = group[(LengthBytes + (int)length)..];
        return record;
    }
}
