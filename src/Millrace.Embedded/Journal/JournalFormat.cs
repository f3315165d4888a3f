using System.Buffers.Binary;
using System.Numerics;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>The bytes of a journal segment: <c>&lt;directory&gt;/00000000000000000001.journal</c>. Everything is little endian.</summary>
/// <remarks>
/// <code>
/// segment   ┌────────────────┬────────┬────────┬────────┬─────
///           │ segment header │ record │ record │ record │ ...      records without gaps, up to the end of the file
///           └────────────────┴────────┴────────┴────────┴─────
///
/// segment header, 40 bytes
///   offset  0        8         12      16               24           32      40
///           ┌────────┬─────────┬───────┬────────────────┬────────────┬───────┐
///           │ magic  │ version │ CRC   │ segment number │ first LSN  │ salt  │
///           └────────┴─────────┴───────┴────────────────┴────────────┴───────┘
///             8 bytes  u32       u32     u64              u64          u64
///             MILLRJNL 1                 from 1           from 1       random, new for every segment
///   CRC: CRC32C over bytes 0 to 11 and 16 to 39.
///
/// record, 16 bytes and the payload
///   offset  0        4      8       16
///           ┌────────┬──────┬───────┬──────────────────┐
///           │ length │ CRC  │ LSN   │ payload          │
///           └────────┴──────┴───────┴──────────────────┘
///             u32      u32    u64     length bytes, opaque here
///   length: of the payload alone, at most <see cref="MaxRecordBytes"/>.
///   LSN:    log sequence number; the first record of a segment has its first LSN, every other one the LSN before it plus one.
///   CRC:    CRC32C over salt, length, LSN and payload, in this order. The salt is not in the record: bytes of another segment that
///           lie behind the tail never pass for records of this one.
/// </code>
/// A reader refuses every version it does not know, so a later version may change anything behind byte 12.
/// Files that must change with these bytes: this one, <see cref="JournalRecovery"/>, and the golden bytes in JournalFormatTests.
/// </remarks>
internal static class JournalFormat
{
    public const uint Version = 1;
    public const int SegmentHeaderBytes = 40;
    public const int RecordHeaderBytes = 16;

    /// <summary>
    /// The largest payload: 64 MiB. Above eight entries of the largest size, and small enough to hold one record in memory at recovery and to
    /// refuse a damaged length before anything is allocated for it.
    /// </summary>
    public const int MaxRecordBytes = 64 * 1024 * 1024;

    private static ReadOnlySpan<byte> Magic => "MILLRJNL"u8;

    /// <summary>The file name of a segment. Twenty digits: every unsigned 64-bit number, and names sort like numbers.</summary>
    public static string SegmentFileName(long segment) => $"{segment:D20}.journal";

    public static void WriteSegmentHeader(Span<byte> target, SegmentHeader header)
    {
        Magic.CopyTo(target);
        BinaryPrimitives.WriteUInt32LittleEndian(target[8..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(target[16..], header.Segment);
        BinaryPrimitives.WriteInt64LittleEndian(target[24..], header.FirstLsn);
        BinaryPrimitives.WriteUInt64LittleEndian(target[32..], header.Salt);
        BinaryPrimitives.WriteUInt32LittleEndian(target[12..], SegmentHeaderCrc(target));
    }

    /// <summary>Reads a segment header.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: cut off, damaged, or not ours; the message names the path.</exception>
    public static SegmentHeader ReadSegmentHeader(ReadOnlySpan<byte> source, string path)
    {
        if (source.Length < SegmentHeaderBytes)
            throw Corrupt($"is cut off inside its header: it has {source.Length} of {SegmentHeaderBytes} bytes");
        if (!source.StartsWith(Magic))
            throw Corrupt("does not begin with the magic bytes of a journal at offset 0: it is another file, or damaged");

        var version = BinaryPrimitives.ReadUInt32LittleEndian(source[8..]);
        if (version != Version)
            throw Corrupt($"has format version {version} at offset 8; this release reads version {Version} only. A newer release may have written it");
        if (BinaryPrimitives.ReadUInt32LittleEndian(source[12..]) != SegmentHeaderCrc(source))
            throw Corrupt("has a damaged header: the checksum at offset 12 does not match");

        return new(
            BinaryPrimitives.ReadInt64LittleEndian(source[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[32..]));

        StreamException Corrupt(string what) => new(StreamErrorCode.Corrupt, $"The journal '{path}' {what}.");
    }

    /// <summary>Writes a record; the target has the size of header and payload.</summary>
    public static void WriteRecord(Span<byte> target, ulong salt, long lsn, ReadOnlySpan<byte> payload)
    {
        BinaryPrimitives.WriteInt32LittleEndian(target, payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(target[4..], RecordCrc(salt, lsn, payload));
        BinaryPrimitives.WriteInt64LittleEndian(target[8..], lsn);
        payload.CopyTo(target[RecordHeaderBytes..]);
    }

    /// <summary>Reads the fixed part of a record, as it is: nothing is checked.</summary>
    public static RecordHeader ReadRecordHeader(ReadOnlySpan<byte> source) => new(
        BinaryPrimitives.ReadUInt32LittleEndian(source),
        BinaryPrimitives.ReadUInt32LittleEndian(source[4..]),
        BinaryPrimitives.ReadInt64LittleEndian(source[8..]));

    public static uint RecordCrc(ulong salt, long lsn, ReadOnlySpan<byte> payload)
    {
        var crc = BitOperations.Crc32C(uint.MaxValue, salt);
        crc = BitOperations.Crc32C(crc, (uint)payload.Length);
        crc = BitOperations.Crc32C(crc, (ulong)lsn);
        return ~Crc32C.Append(crc, payload);
    }

    private static uint SegmentHeaderCrc(ReadOnlySpan<byte> header) =>
        ~Crc32C.Append(Crc32C.Append(uint.MaxValue, header[..12]), header[16..SegmentHeaderBytes]);
}

/// <summary>What a segment says of itself.</summary>
/// <param name="Segment">Its number, from 1.</param>
/// <param name="FirstLsn">The LSN of its first record.</param>
/// <param name="Salt">Random; part of the checksum of each of its records.</param>
internal readonly record struct SegmentHeader(long Segment, long FirstLsn, ulong Salt);

/// <summary>The fixed part of a record as it lies on disk; any field may be damaged.</summary>
/// <param name="Length">Bytes of the payload.</param>
/// <param name="Crc">The checksum.</param>
/// <param name="Lsn">The log sequence number.</param>
internal readonly record struct RecordHeader(uint Length, uint Crc, long Lsn);
