using System.Buffers.Binary;
using System.Numerics;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// The bytes of a data directory: segments of the journal (<c>00000000000000000001.journal</c>, by segment number) and the snapshot
/// (<c>00000000000000004711.snapshot</c>, by the LSN of the last record it covers). Everything is little endian.
/// </summary>
/// <remarks>
/// <code>
/// file      ┌─────────────┬───────┬───────┬───────┬─────
///           │ file header │ frame │ frame │ frame │ ...      frames without gaps, up to the end of the file
///           └─────────────┴───────┴───────┴───────┴─────
///
/// file header, 40 bytes
///   offset  0        8         12      16               24           32      40
///           ┌────────┬─────────┬───────┬────────────────┬────────────┬───────┐
///           │ magic  │ version │ CRC   │ number         │ first LSN  │ salt  │
///           └────────┴─────────┴───────┴────────────────┴────────────┴───────┘
///             8 bytes  u32       u32     u64              u64          u64
///   segment:  MILLRJNL 2                 segment, from 1  from 1       random, new for every file
///   snapshot: MILLSNAP 2                 covered LSN      always 1
///   CRC: CRC32C over bytes 0 to 11 and 16 to 39.
///
/// frame, 32 bytes and the payload
///   offset  0        4             8      9       12           16          24           32
///           ┌────────┬─────────────┬──────┬───────┬────────────┬───────────┬────────────┬─────────┐
///           │ length │ payload CRC │ kind │ count │ header CRC │ first LSN │ synced LSN │ payload │
///           └────────┴─────────────┴──────┴───────┴────────────┴───────────┴────────────┴─────────┘
///             u32      u32           u8     u24     u32          u64         u64          length bytes
///   length:      of the payload, at most <see cref="MaxFrameBytes"/>.
///   payload CRC: CRC32C over the payload.
///   kind:        see <see cref="FrameKind"/>. count: records in the payload.
///   header CRC:  CRC32C over the salt, bytes 0 to 11 and bytes 16 to 31. The salt is not in the frame: bytes of another file that lie behind the
///                tail never pass for frames of this one. Its own checksum makes a length trustworthy before anything is read or allocated for it.
///   first LSN:   log sequence number of the first record; each record has the one before plus one. Without records: the one the next will have.
///   synced LSN:  every record up to it was known to be on the device when the frame was written. A frame that is missing although a later one
///                says it was synced is damage; without such a later one it is a write that a crash cut off.
///
/// payload   ┌────────┬───────┬────────┬───────┬─────
///           │ length │ bytes │ length │ bytes │ ...      records, opaque here; lengths are LEB128 varints
///           └────────┴───────┴────────┴───────┴─────
///
/// Behind the last frame of a segment there may be zeros: the file was made longer than it was written, and then the process was killed.
/// A segment that another one follows ends in a frame of kind End, unless a crash came between. A snapshot holds the parts of the engine as
/// records numbered from 1 and ends in a frame of kind End; without it, or with anything behind it, it is damaged.
/// </code>
/// A reader refuses every version it does not know, so a later version may change anything behind byte 12.
/// Files that must change with these bytes: this one, <see cref="FrameBuffer"/>, <see cref="FrameReader"/>, docs/durability.md and the golden
/// bytes in JournalFormatTests.
/// </remarks>
internal static class JournalFormat
{
    public const uint Version = 2;
    public const int FileHeaderBytes = 40;
    public const int FrameHeaderBytes = 32;

    /// <summary>
    /// The largest record: 64 MiB. Above eight entries of the largest size, and small enough to hold one record in memory at recovery.
    /// </summary>
    public const int MaxRecordBytes = 64 * 1024 * 1024;

    /// <summary>The largest payload of a frame: one record of the largest size and its length.</summary>
    public const int MaxFrameBytes = MaxRecordBytes + Varint.MaxLength;

    /// <summary>As many records as fit into three bytes.</summary>
    public const int MaxFrameRecords = (1 << 24) - 1;

    private static ReadOnlySpan<byte> SegmentMagic => "MILLRJNL"u8;

    private static ReadOnlySpan<byte> SnapshotMagic => "MILLSNAP"u8;

    public static void WriteFileHeader(Span<byte> target, FileHeader header)
    {
        (header.IsSnapshot ? SnapshotMagic : SegmentMagic).CopyTo(target);
        BinaryPrimitives.WriteUInt32LittleEndian(target[8..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(target[16..], header.Number);
        BinaryPrimitives.WriteInt64LittleEndian(target[24..], header.FirstLsn);
        BinaryPrimitives.WriteUInt64LittleEndian(target[32..], header.Salt);
        BinaryPrimitives.WriteUInt32LittleEndian(target[12..], FileHeaderCrc(target));
    }

    /// <summary>Reads a file header.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: cut off, damaged, or not ours; the message names the path.</exception>
    public static FileHeader ReadFileHeader(ReadOnlySpan<byte> source, bool isSnapshot, string path)
    {
        if (source.Length < FileHeaderBytes)
            throw Corrupt($"is cut off inside its header: it has {source.Length} of {FileHeaderBytes} bytes");
        if (!source.StartsWith(isSnapshot ? SnapshotMagic : SegmentMagic))
            throw Corrupt("does not begin with its magic bytes at offset 0: it is another file, or damaged");

        var version = BinaryPrimitives.ReadUInt32LittleEndian(source[8..]);
        if (version != Version)
            throw Corrupt($"has format version {version} at offset 8; this release reads version {Version} only. A newer release may have written it");
        if (BinaryPrimitives.ReadUInt32LittleEndian(source[12..]) != FileHeaderCrc(source))
            throw Corrupt("has a damaged header: the checksum at offset 12 does not match");

        return new(
            isSnapshot,
            BinaryPrimitives.ReadInt64LittleEndian(source[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[32..]));

        StreamException Corrupt(string what) => new(StreamErrorCode.Corrupt, $"The file '{path}' {what}.");
    }

    public static void WriteFrameHeader(Span<byte> target, ulong salt, in FrameHeader header)
    {
        BinaryPrimitives.WriteInt32LittleEndian(target, header.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(target[4..], header.PayloadCrc);
        BinaryPrimitives.WriteUInt32LittleEndian(target[8..], (uint)header.Kind | ((uint)header.Count << 8));
        BinaryPrimitives.WriteInt64LittleEndian(target[16..], header.FirstLsn);
        BinaryPrimitives.WriteInt64LittleEndian(target[24..], header.SyncedLsn);
        BinaryPrimitives.WriteUInt32LittleEndian(target[12..], FrameHeaderCrc(target, salt));
    }

    /// <summary>Reads a frame header that is whole: its checksum matches, and what it says is possible.</summary>
    public static bool TryReadFrameHeader(ReadOnlySpan<byte> source, ulong salt, out FrameHeader header)
    {
        header = default;
        if (source.Length < FrameHeaderBytes || BinaryPrimitives.ReadUInt32LittleEndian(source[12..]) != FrameHeaderCrc(source, salt))
            return false;

        var kindAndCount = BinaryPrimitives.ReadUInt32LittleEndian(source[8..]);
        header = new(
            (FrameKind)(byte)kindAndCount,
            BinaryPrimitives.ReadInt32LittleEndian(source),
            (int)(kindAndCount >> 8),
            BinaryPrimitives.ReadUInt32LittleEndian(source[4..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[24..]));
        return header is { Kind: <= FrameKind.End, Length: >= 0 and <= MaxFrameBytes, FirstLsn: > 0, SyncedLsn: >= 0 }
            && header.SyncedLsn < header.FirstLsn
            && (header.Kind == FrameKind.Records ? header.Count > 0 && header.Count <= header.Length : header is { Count: 0, Length: 0 });
    }

    public static uint PayloadCrc(ReadOnlySpan<byte> payload) => ~Crc32C.Append(uint.MaxValue, payload);

    private static uint FileHeaderCrc(ReadOnlySpan<byte> header) =>
        ~Crc32C.Append(Crc32C.Append(uint.MaxValue, header[..12]), header[16..FileHeaderBytes]);

    private static uint FrameHeaderCrc(ReadOnlySpan<byte> header, ulong salt)
    {
        var crc = BitOperations.Crc32C(uint.MaxValue, salt);
        return ~Crc32C.Append(Crc32C.Append(crc, header[..12]), header[16..FrameHeaderBytes]);
    }
}

/// <summary>What a frame is.</summary>
internal enum FrameKind : byte
{
    /// <summary>Records.</summary>
    Records = 0,

    /// <summary>No records: the journal was closed after everything was synced, so that even damage to the last record is noticed.</summary>
    Mark = 1,

    /// <summary>No records: the file is over. Behind a segment another one follows.</summary>
    End = 2,
}

/// <summary>What a file says of itself.</summary>
/// <param name="IsSnapshot">A snapshot, or a segment of the journal.</param>
/// <param name="Number">The segment's number, or the LSN of the last record that the snapshot covers.</param>
/// <param name="FirstLsn">The LSN of its first record.</param>
/// <param name="Salt">Random; part of the checksum of each of its frames.</param>
internal readonly record struct FileHeader(bool IsSnapshot, long Number, long FirstLsn, ulong Salt);

/// <summary>The fixed part of a frame.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Length">Bytes of the payload.</param>
/// <param name="Count">Records in it.</param>
/// <param name="PayloadCrc">Its checksum.</param>
/// <param name="FirstLsn">The LSN of its first record.</param>
/// <param name="SyncedLsn">Up to where records were known to be on the device.</param>
internal readonly record struct FrameHeader(FrameKind Kind, int Length, int Count, uint PayloadCrc, long FirstLsn, long SyncedLsn)
{
    /// <summary>The LSN of the record behind the frame.</summary>
    public long NextLsn => FirstLsn + Count;
}
