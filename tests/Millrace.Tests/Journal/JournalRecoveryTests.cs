using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

public sealed class JournalRecoveryTests : IDisposable
{
    private static readonly string[] Records = ["alpha", "beta with some more text", "", "delta", "the last one"];

    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Tail_cut_at_any_length_keeps_every_whole_record_and_takes_new_ones()
    {
        var offsets = await _directory.WriteAsync(Records);
        var whole = await File.ReadAllBytesAsync(_directory.SegmentPath);

        for (var length = JournalFormat.FileHeaderBytes; length <= whole.Length; length++)
        {
            await File.WriteAllBytesAsync(_directory.SegmentPath, whole[..length]);
            var expected = Records.Where((_, i) => offsets[i + 1] <= length).ToArray();

            var log = new ListLogger();
            await using (var journal = _directory.Open(logger: log))
            {
                Assert.Equal(expected, _directory.Replayed);
                var rest = whole.AsSpan((int)offsets.Last(offset => offset <= length)..length);
                Assert.Equal(length < whole.Length && rest.ContainsAnyExcept((byte)0), log.Lines.Any(line => line.Contains("truncated")));
                Assert.Equal(expected.Length + 1, journal.Append("new"u8));
            }

            await using (_directory.Open())
                Assert.Equal([.. expected, "new"], _directory.Replayed);
        }
    }

    [Fact]
    public async Task Torn_tail_is_reported_with_its_offset_and_size()
    {
        var offsets = await _directory.WriteAsync(Records);
        using (var file = File.OpenHandle(_directory.SegmentPath, FileMode.Open, FileAccess.Write))
            RandomAccess.SetLength(file, offsets[^1] - 3);

        var log = new ListLogger();
        await using (_directory.Open(logger: log))
        {
            var line = Assert.Single(log.Lines, line => line.Contains("truncated"));
            Assert.Contains($"truncated {offsets[^1] - 3 - offsets[^2]} bytes at offset {offsets[^2]}", line);
            Assert.Contains(_directory.SegmentPath, line);
        }

        Assert.Equal(offsets[^2] + JournalFormat.FrameHeaderBytes, new FileInfo(_directory.SegmentPath).Length);
        var aside = Path.Combine(_directory.Path, $"{JournalFiles.SegmentName(1)}.{offsets[^2]}.bad");
        Assert.Equal(offsets[^1] - 3 - offsets[^2], new FileInfo(aside).Length);
    }

    [Fact]
    public async Task Garbage_and_zeros_behind_the_last_record_are_truncated()
    {
        await _directory.WriteAsync(Records);
        var whole = await File.ReadAllBytesAsync(_directory.SegmentPath);
        byte[] garbage = new byte[5000];
        new Random(7).NextBytes(garbage);

        foreach (var tail in new[] { new byte[5000], garbage })
        {
            await File.WriteAllBytesAsync(_directory.SegmentPath, [.. whole, .. tail]);
            await using (_directory.Open())
                Assert.Equal(Records, _directory.Replayed);
            Assert.Equal(whole.Length, new FileInfo(_directory.SegmentPath).Length);
        }
    }

    [Fact]
    public async Task Bit_flipped_in_a_journal_that_was_closed_stops_recovery_and_changes_nothing()
    {
        var offsets = await _directory.WriteAsync(Records);
        var whole = await File.ReadAllBytesAsync(_directory.SegmentPath);

        for (var bit = 0; bit < offsets[^1] * 8; bit++)
        {
            var damaged = (byte[])whole.Clone();
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            await File.WriteAllBytesAsync(_directory.SegmentPath, damaged);

            var refused = Assert.Throws<StreamException>(() => _directory.Open());

            Assert.Equal(StreamErrorCode.Corrupt, refused.Code);
            Assert.Contains(_directory.SegmentPath, refused.Message);
            Assert.Equal(Records.Take(_directory.Replayed.Count), _directory.Replayed);
            Assert.Equal(damaged, await File.ReadAllBytesAsync(_directory.SegmentPath));
            if (bit / 8 >= offsets[0])
                Assert.Contains($"damaged at offset {offsets.Last(offset => offset <= bit / 8)}:", refused.Message);
        }
    }

    [Fact]
    public async Task Bit_flipped_in_the_last_record_of_a_killed_process_never_serves_a_wrong_payload()
    {
        var offsets = await _directory.WriteAsync(Records);
        var whole = await File.ReadAllBytesAsync(_directory.SegmentPath);

        whole = whole[..(int)offsets[^1]];
        for (var bit = offsets[^2] * 8; bit < whole.Length * 8; bit++)
        {
            var damaged = (byte[])whole.Clone();
            damaged[bit / 8] ^= (byte)(1 << (int)(bit % 8));
            await File.WriteAllBytesAsync(_directory.SegmentPath, damaged);

            await using (_directory.Open())
                Assert.Equal(Records[..^1], _directory.Replayed);
        }
    }

    [Fact]
    public async Task Damage_farther_from_the_next_record_than_one_window_is_found()
    {
        var large = new string('y', 5_000_000);
        var offsets = await _directory.WriteAsync("first", large, "last");
        await FlipAsync(offsets[1] + 2_345_678);

        var refused = Assert.Throws<StreamException>(() => _directory.Open());

        Assert.Contains($"damaged at offset {offsets[1]}:", refused.Message);
        Assert.Contains($"the frame at offset {offsets[3]} says", refused.Message);
    }

    [Fact]
    public async Task Record_taken_out_of_the_middle_stops_recovery()
    {
        var offsets = await _directory.WriteAsync(Records);
        var whole = await File.ReadAllBytesAsync(_directory.SegmentPath);
        await File.WriteAllBytesAsync(_directory.SegmentPath, [.. whole[..(int)offsets[1]], .. whole[(int)offsets[2]..]]);

        Assert.Equal(StreamErrorCode.Corrupt, Assert.Throws<StreamException>(() => _directory.Open()).Code);
    }

    [Fact]
    public async Task Frames_of_another_file_behind_the_tail_are_not_replayed()
    {
        using var other = new JournalDirectory();
        var offsets = await other.WriteAsync("a", "b", "c", "d", "e", "phantom");
        await _directory.WriteAsync("a", "b", "c", "d", "e");
        var ours = (await File.ReadAllBytesAsync(_directory.SegmentPath))[..(int)offsets[5]];
        var foreign = (await File.ReadAllBytesAsync(other.SegmentPath))[(int)offsets[5]..];
        await File.WriteAllBytesAsync(_directory.SegmentPath, [.. ours, .. foreign]);

        await using (_directory.Open())
            Assert.Equal(["a", "b", "c", "d", "e"], _directory.Replayed);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(39)]
    public async Task Header_cut_off_is_corrupt_never_a_new_journal(int length)
    {
        await _directory.WriteAsync(Records);
        using (var file = File.OpenHandle(_directory.SegmentPath, FileMode.Open, FileAccess.Write))
            RandomAccess.SetLength(file, length);

        var refused = Assert.Throws<StreamException>(() => _directory.Open());

        Assert.Equal(StreamErrorCode.Corrupt, refused.Code);
        Assert.Contains("cut off inside its header", refused.Message);
    }

    [Fact]
    public async Task Later_version_and_later_segment_are_refused_with_what_to_do()
    {
        await _directory.WriteAsync(Records);
        await FlipAsync(8);
        Assert.Contains("format version", Assert.Throws<StreamException>(() => _directory.Open()).Message);
        await FlipAsync(8);

        await File.WriteAllTextAsync(Path.Combine(_directory.Path, JournalFiles.SegmentName(2)), "later");
        var refused = Assert.Throws<StreamException>(() => _directory.Open());
        Assert.Equal(StreamErrorCode.Corrupt, refused.Code);
        Assert.Contains(JournalFiles.SegmentName(2), refused.Message);
    }

    [Fact]
    public async Task Segment_whose_making_was_interrupted_is_made_again()
    {
        await File.WriteAllTextAsync(_directory.SegmentPath + ".new", "half a hea");

        await _directory.WriteAsync(Records);

        await using (_directory.Open())
            Assert.Equal(Records, _directory.Replayed);
    }

    [Fact]
    public async Task Zeros_that_a_segment_was_made_longer_by_are_its_end_and_go_when_the_journal_closes()
    {
        var kept = new byte[5_000];
        kept.AsSpan().Fill((byte)'k');
        using var killed = new JournalDirectory();
        await using (var journal = _directory.Open(SyncPolicy.Always))
        {
            await journal.WhenDurableAsync(journal.Append(kept));
            File.Copy(_directory.SegmentPath, killed.SegmentPath);
            Assert.InRange(new FileInfo(killed.SegmentPath).Length, 1024 * 1024, (1024 * 1024) + 6_000);
        }

        Assert.InRange(new FileInfo(_directory.SegmentPath).Length, 5_000, 6_000);
        var log = new ListLogger();
        await using (var journal = killed.Open(SyncPolicy.Always, logger: log))
        {
            Assert.Equal(5_000, Assert.Single(killed.Replayed).Length);
            Assert.InRange(new FileInfo(killed.SegmentPath).Length, 5_000, 6_000);
            await journal.WhenDurableAsync(journal.Append("more"u8));
        }

        Assert.DoesNotContain(log.Lines, line => line.Contains("truncated"));
        Assert.DoesNotContain(killed.FileNames, name => name.EndsWith(".bad", StringComparison.Ordinal));
        await using (killed.Open())
            Assert.Equal("more", killed.Replayed[^1]);
    }

    private async Task FlipAsync(long offset)
    {
        var bytes = await File.ReadAllBytesAsync(_directory.SegmentPath);
        bytes[offset] ^= 0x40;
        await File.WriteAllBytesAsync(_directory.SegmentPath, bytes);
    }
}
