using System.Buffers.Binary;

namespace Millrace.Streams.Engine.Records;

/// <summary>What a value is in a record. The numbers are part of the format: never reuse one.</summary>
internal enum ValueKind : byte
{
    String = 1,
    List = 2,
    Set = 3,
    Schedule = 4,
    Stream = 5,
}

/// <summary>A value with all that belongs to it, as bytes that another store can take: what <c>DUMP</c> gives and <c>RESTORE</c> takes.</summary>
/// <remarks>
/// <code>
/// ┌─────────┬─────────┬────────┬───────────────────┬─────────────────┐
/// │ "MLRV"  │ version │ kind   │ parts             │ CRC32C of all   │
/// │ 4 bytes │ 1 byte  │ 1 byte │                   │ before, LE      │
/// └─────────┴─────────┴────────┴───────────────────┴─────────────────┘
///
/// string     bytes
/// list       count | count × bytes
/// set        count | count × member text
/// schedule   stream text | count | count × (due ms | fields)
/// stream     drawn at StreamValue.Write
/// </code>
/// Key and expiry are not part of it. Parts are those of <see cref="RecordWriter"/>. Files that must change with this layout: this one and the
/// <c>Write</c> and <c>Read</c> of each value.
/// </remarks>
internal static class ValueRecord
{
    private const byte Version = 1;
    private const int HeadBytes = 6;
    private const int ChecksumBytes = sizeof(uint);

    private static ReadOnlySpan<byte> Magic => "MLRV"u8;

    /// <summary>Writes a value.</summary>
    /// <param name="value">The value.</param>
    /// <param name="maxBytes">Bytes the record may take.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.LimitExceeded"/>: it would take more.</exception>
    public static ReadOnlyMemory<byte> Write(KeyspaceValue value, int maxBytes)
    {
        var output = new LimitedBuffer(maxBytes);
        var writer = new RecordWriter(output);
        foreach (var part in Magic)
            writer.Byte(part);
        writer.Byte(Version);
        writer.Byte((byte)value.Kind);
        value.Write(writer);
        BinaryPrimitives.WriteUInt32LittleEndian(output.GetSpan(ChecksumBytes), ChecksumOf(output.Written.Span));
        output.Advance(ChecksumBytes);
        return output.Written;
    }

    /// <summary>Whether the bytes are a record of this version that nobody changed since it was written.</summary>
    public static bool IsWhole(ReadOnlySpan<byte> record) =>
        record.Length >= HeadBytes + ChecksumBytes && record.StartsWith(Magic) && record[Magic.Length] == Version &&
        BinaryPrimitives.ReadUInt32LittleEndian(record[^ChecksumBytes..]) == ChecksumOf(record[..^ChecksumBytes]);

    /// <summary>Reads a value. Trusts nothing but its checksum, which anybody can compute.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>.</exception>
    public static KeyspaceValue Read(ReadOnlySpan<byte> record)
    {
        if (!IsWhole(record))
            throw EngineErrors.Damaged("it is no value of this version, or was changed", 0);
        var reader = new RecordReader(record[(HeadBytes - 1)..^ChecksumBytes]);
        var kind = (ValueKind)reader.Byte();
        var value = kind == ValueKind.Stream ? StreamValue.Read(ref reader) : ReadSimple(kind, ref reader);
        reader.End();
        return value;
    }

    /// <summary>Reads the parts of whatever is no stream.</summary>
    public static KeyspaceValue ReadSimple(ValueKind kind, ref RecordReader reader) => kind switch
    {
        ValueKind.String => new StringValue(reader.Bytes()),
        ValueKind.List => ListValue.Read(ref reader),
        ValueKind.Set => SetValue.Read(ref reader),
        ValueKind.Schedule => ScheduleValue.Read(ref reader),
        _ => throw EngineErrors.Damaged($"there is no value {(byte)kind}", HeadBytes - 1),
    };

    private static uint ChecksumOf(ReadOnlySpan<byte> bytes) => ~Crc32C.Append(uint.MaxValue, bytes);
}
