using Millrace.Streams.Names;

namespace Millrace.Streams.Engine.Records;

/// <summary>
/// Reads what <see cref="RecordWriter"/> wrote, part by part in the same order. Checks every length before it trusts it, and copies what the
/// engine will keep: the record's buffer belongs to the caller.
/// </summary>
/// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: the record is cut off or holds what no writer writes.</exception>
/// <param name="record">The record, or the first part of one that comes in many.</param>
/// <param name="memory">The same bytes, if they stay as they are until the mutation is applied; so an entry's fields need not be copied twice.</param>
/// <param name="buffers">Of the replay, which remembers names; null: every name becomes a string of its own.</param>
/// <param name="nextPart">
/// Gives the next part, or nothing at the end. Each is valid until the next is asked for. Null: the record is whole.
/// </param>
internal ref partial struct RecordReader(
    ReadOnlySpan<byte> record,
    ReadOnlyMemory<byte> memory = default,
    ReplayBuffers? buffers = null,
    Func<ReadOnlyMemory<byte>>? nextPart = null)
{
    private readonly ReadOnlyMemory<byte> _memory = memory;
    private ReadOnlySpan<byte> _record = record;
    private int _offset;

    public byte Byte()
    {
        if (_offset >= _record.Length)
            NextPart();
        return _record[_offset++];
    }

    /// <summary>The number of a database.</summary>
    public int Database()
    {
        var database = Byte();
        return database < StreamEngine.DatabaseCount ? database : throw EngineErrors.Damaged($"there is no database {database}", _offset - 1);
    }

    public ulong Number()
    {
        var start = _offset;
        return Varint.TryRead(_record, ref _offset, out var value) ? value : NumberAcrossParts(start);
    }

    public long PositiveNumber()
    {
        var value = Number();
        return value <= long.MaxValue ? (long)value : throw EngineErrors.Damaged("a number is too large", _offset);
    }

    public long? OptionalNumber()
    {
        var value = Number();
        return value switch
        {
            0 => null,
            <= 1UL << 63 => (long)(value - 1),
            _ => throw EngineErrors.Damaged("a number is too large", _offset),
        };
    }

    public bool Flag() => Byte() switch
    {
        0 => false,
        1 => true,
        var other => throw EngineErrors.Damaged($"{other} is neither yes nor no", _offset),
    };

    public string Text() => buffers is null ? KeyText.Decode(Slice()) : buffers.Name(Slice());

    public byte[] Bytes()
    {
        var length = Count();
        return Raw(length);
    }

    public EntryId Id() => new(Number(), Number());

    public EntryId[] Ids()
    {
        var ids = new EntryId[Count()];
        for (var i = 0; i < ids.Length; i++)
            ids[i] = Id();
        return ids;
    }

    /// <summary>
    /// A number of items that follow: each takes a byte at least, so that a damaged count cannot make us allocate gigabytes. Where parts follow
    /// it can be larger than what is there: nothing must be allocated by it.
    /// </summary>
    public int Count()
    {
        var count = Number();
        return count <= (ulong)(nextPart is null ? _record.Length - _offset : Array.MaxLength)
            ? (int)count
            : throw EngineErrors.Damaged("a count is larger than the record", _offset);
    }

    /// <summary>Fields that may be kept.</summary>
    public EntryFields Fields() => ToFields(Bytes());

    /// <summary>Fields for an entry, into which they are copied: valid only until the mutation is applied.</summary>
    public EntryFields EntryFields()
    {
        var length = Slice().Length;
        return ToFields(_memory.IsEmpty ? _record.Slice(_offset - length, length).ToArray() : _memory.Slice(_offset - length, length));
    }

    public TrimRequest Trim()
    {
        var kind = Byte();
        if (kind == 0)
            return default;
        var trim = new TrimRequest { References = ToPolicy(kind >> 3) };
        trim = (kind & 3) switch
        {
            1 => trim with { MaxLength = PositiveNumber() },
            2 => trim with { MinId = Id() },
            _ => throw EngineErrors.Damaged($"there is no trim {kind}", _offset),
        };
        return (kind & 4) == 0 ? trim : trim with { IsApproximate = true, Limit = PositiveNumber() };
    }

    public ReferencePolicy Policy() => ToPolicy(Byte());

    public GroupStart Start() => Byte() switch
    {
        0 => GroupStart.After(Id()),
        1 => GroupStart.Now,
        var other => throw EngineErrors.Damaged($"there is no group start {other}", _offset),
    };

    /// <summary>Everything must have been read.</summary>
    public readonly void End()
    {
        if (_offset != _record.Length || (nextPart is not null && !nextPart().IsEmpty))
            throw EngineErrors.Damaged("bytes follow its last part", _offset);
    }

    private readonly EntryFields ToFields(ReadOnlyMemory<byte> packed)
    {
        try
        {
            return Streams.EntryFields.FromPacked(packed);
        }
        catch (FormatException e)
        {
            throw EngineErrors.Damaged(e.Message, _offset);
        }
    }

    private readonly ReferencePolicy ToPolicy(int number) => number <= (int)ReferencePolicy.Acked
        ? (ReferencePolicy)number
        : throw EngineErrors.Damaged($"there is no policy {number}", _offset);

    private ReadOnlySpan<byte> Slice()
    {
        var length = Count();
        if (length > _record.Length - _offset)
            return Raw(length);
        var slice = _record.Slice(_offset, length);
        _offset += length;
        return slice;
    }
}
