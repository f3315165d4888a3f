using System.Text;
using Millrace.Embedded.Journal;

namespace Millrace.Tests.Journal;

/// <summary>The bytes on disk, by hand. When one of these fails, stored data of users can no longer be read: raise the version instead.</summary>
public sealed class JournalFormatTests
{
    private static readonly SegmentHeader Header = new(Segment: 1, FirstLsn: 1, Salt: 0x0123456789ABCDEF);

    [Fact]
    public void Segment_header_has_its_golden_bytes()
    {
        var bytes = new byte[JournalFormat.SegmentHeaderBytes];
        JournalFormat.WriteSegmentHeader(bytes, Header);

        Assert.Equal(GoldenHeader, Convert.ToHexString(bytes));
        Assert.Equal(Header, JournalFormat.ReadSegmentHeader(bytes, "golden"));
    }

    [Fact]
    public void Record_has_its_golden_bytes()
    {
        var bytes = new byte[JournalFormat.RecordHeaderBytes + 5];
        JournalFormat.WriteRecord(bytes, Header.Salt, lsn: 1, "hello"u8);

        Assert.Equal(GoldenRecord, Convert.ToHexString(bytes));
    }

    [Fact]
    public async Task Golden_segment_is_read_by_this_release()
    {
        using var directory = new JournalDirectory();
        await File.WriteAllBytesAsync(directory.SegmentPath, Convert.FromHexString(GoldenHeader + GoldenRecord));

        await using (directory.Open())
            Assert.Equal(["hello"], directory.Replayed);
    }

    [Fact]
    public void Checksum_is_crc32c()
    {
        // The standard check value of CRC-32C is over the text 123456789; ours has twenty bytes of salt, length and LSN in front of the payload.
        Assert.Equal(0xE3069283u, ReferenceCrc32C("123456789"u8));
        byte[] covered = [0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, .. "hello"u8];

        Assert.Equal(ReferenceCrc32C(covered), JournalFormat.RecordCrc(Header.Salt, 1, "hello"u8));
    }

    private const string GoldenHeader = "4D494C4C524A4E4C0100000027DAB0F401000000000000000100000000000000EFCDAB8967452301";

    private const string GoldenRecord = "0500000078394C34010000000000000068656C6C6F";

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
