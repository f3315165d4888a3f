using Millrace.Embedded.Journal;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

/// <summary>The bytes on disk, by hand. When one of these fails, stored data of users can no longer be read: raise the version instead.</summary>
public sealed class JournalFormatTests
{
    private const ulong Salt = 0x0123456789ABCDEF;

    private const string GoldenSegmentHeader = "4D494C4C524A4E4C020000008A31621701000000000000000100000000000000EFCDAB8967452301";
    private const string GoldenSnapshotHeader = "4D494C4C534E4150020000008431153501000000000000000100000000000000EFCDAB8967452301";
    private const string GoldenFrame = "07000000780F287F00020000AA923221010000000000000000000000000000000568656C6C6F00";
    private const string GoldenMark = "00000000000000000100000029BD57F303000000000000000200000000000000";
    private const string GoldenSegmentEnd = "000000000000000002000000EEA593AA03000000000000000200000000000000";
    private const string GoldenPart = "050000001CFCAE9D00010000C7696017010000000000000000000000000000000470617274";
    private const string GoldenSnapshotEnd = "0000000000000000020000005E52E7CA02000000000000000000000000000000";

    [Fact]
    public void File_headers_have_their_golden_bytes()
    {
        var bytes = new byte[JournalFormat.FileHeaderBytes];
        var segment = new FileHeader(IsSnapshot: false, Number: 1, FirstLsn: 1, Salt);
        JournalFormat.WriteFileHeader(bytes, segment);
        Assert.Equal(GoldenSegmentHeader, Convert.ToHexString(bytes));
        Assert.Equal(segment, JournalFormat.ReadFileHeader(bytes, isSnapshot: false, "golden"));
        Assert.Equal(
            StreamErrorCode.Corrupt, Assert.Throws<StreamException>(() => JournalFormat.ReadFileHeader(bytes, isSnapshot: true, "golden")).Code);

        var snapshot = new FileHeader(IsSnapshot: true, Number: 1, FirstLsn: 1, Salt);
        JournalFormat.WriteFileHeader(bytes, snapshot);
        Assert.Equal(GoldenSnapshotHeader, Convert.ToHexString(bytes));
        Assert.Equal(snapshot, JournalFormat.ReadFileHeader(bytes, isSnapshot: true, "golden"));
    }

    [Fact]
    public void Frame_has_its_golden_bytes()
    {
        var frame = new FrameBuffer();
        frame.Begin(firstLsn: 1, beginsSegment: false);
        frame.Add("hello"u8);
        frame.Add(""u8);

        Assert.Equal(GoldenFrame, Convert.ToHexString(frame.Seal(Salt, syncedLsn: 0)));
    }

    [Theory]
    [InlineData(FrameKind.Mark, 3, 2, GoldenMark)]
    [InlineData(FrameKind.End, 3, 2, GoldenSegmentEnd)]
    internal void Frame_without_records_has_its_golden_bytes(FrameKind kind, long firstLsn, long syncedLsn, string golden)
    {
        var bytes = new byte[JournalFormat.FrameHeaderBytes];
        JournalFormat.WriteFrameHeader(bytes, Salt, new(kind, 0, 0, JournalFormat.PayloadCrc([]), firstLsn, syncedLsn));

        Assert.Equal(golden, Convert.ToHexString(bytes));
    }

    [Fact]
    public async Task Golden_segment_is_read_by_this_release()
    {
        using var directory = new JournalDirectory();
        await File.WriteAllBytesAsync(directory.SegmentPath, Convert.FromHexString(GoldenSegmentHeader + GoldenFrame + GoldenMark));

        await using (directory.Open())
            Assert.Equal(["hello", ""], directory.Replayed);
    }

    [Fact]
    public async Task Golden_snapshot_is_read_by_this_release()
    {
        using var directory = new JournalDirectory();
        await File.WriteAllBytesAsync(directory.SegmentPath, Convert.FromHexString(GoldenSegmentHeader + GoldenFrame + GoldenMark));
        await File.WriteAllBytesAsync(
            Path.Combine(directory.Path, JournalFiles.SnapshotName(1)),
            Convert.FromHexString(GoldenSnapshotHeader + GoldenPart + GoldenSnapshotEnd));

        await using (directory.Open())
        {
            Assert.Equal(["part", "."], directory.Parts);
            Assert.Equal([""], directory.Replayed);
        }
    }

    [Fact]
    public void Checksums_are_crc32c()
    {
        // The standard check value of CRC-32C is over the text 123456789; that of a header has eight bytes of salt in front.
        Assert.Equal(0xE3069283u, ReferenceCrc32C("123456789"u8));
        Assert.Equal(ReferenceCrc32C("hello"u8), JournalFormat.PayloadCrc("hello"u8));
        var header = Convert.FromHexString(GoldenMark);
        byte[] covered = [.. BitConverter.GetBytes(Salt), .. header[..12], .. header[16..]];

        Assert.Equal(ReferenceCrc32C(covered), BitConverter.ToUInt32(header, 12));
    }

    [Fact]
    public void Frame_header_that_cannot_be_is_refused_although_its_checksum_is_right()
    {
        var bytes = new byte[JournalFormat.FrameHeaderBytes];
        var crc = JournalFormat.PayloadCrc([]);
        foreach (var header in new FrameHeader[]
        {
            new((FrameKind)3, 0, 0, crc, 1, 0),
            new(FrameKind.Records, 5, 0, crc, 1, 0),
            new(FrameKind.Records, 5, 6, crc, 1, 0),
            new(FrameKind.Records, JournalFormat.MaxFrameBytes + 1, 1, crc, 1, 0),
            new(FrameKind.Records, -1, 1, crc, 1, 0),
            new(FrameKind.Records, 5, 1, crc, 0, 0),
            new(FrameKind.Records, 5, 1, crc, 1, 1),
            new(FrameKind.Records, 5, 1, crc, 1, -1),
            new(FrameKind.Mark, 5, 0, crc, 1, 0),
            new(FrameKind.End, 0, 1, crc, 1, 0),
        })
        {
            JournalFormat.WriteFrameHeader(bytes, Salt, header);
            Assert.False(JournalFormat.TryReadFrameHeader(bytes, Salt, out _), header.ToString());
        }
    }

    /// <summary>Bit by bit from the polynomial, so that it shares nothing with the code under test.</summary>
    private static uint ReferenceCrc32C(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var value in bytes)
        {
            crc ^= value;
            for (var bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ ((crc & 1) * 0x82F63B78u);
        }

        return ~crc;
    }
}
