using System.Buffers.Binary;
using Millrace.Embedded.Inspection;
using Millrace.Embedded.Journal;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

/// <summary>
/// Directories that people, copies and broken disks make of a good one. Each is refused with its reason, or opens with exactly the right data; never is
/// it an empty store where data was. Verify says the same as the start, without changing a byte.
/// </summary>
public sealed class DirectoryStateTests
{
    private const string Whole = "the data";
    private const string Prefix = "all that was synced";

    /// <summary>What is done to a sample, by name.</summary>
    private static readonly (SampleKind Sample, string Name, Action<State> Change, string Expected)[] Table =
    [
        (SampleKind.Closed, "untouched", static _ => { }, Whole),
        (SampleKind.Killed, "untouched", static _ => { }, Whole),
        (SampleKind.SnapshotClosed, "untouched", static _ => { }, Whole),
        (SampleKind.SnapshotKilled, "untouched", static _ => { }, Whole),

        // Files that are missing.
        (SampleKind.Closed, "first segment missing", static d => d.Delete(d.Segment(0)), "are missing"),
        (SampleKind.Closed, "middle segment missing", static d => d.Delete(d.Segment(2)), "is missing; segment 4"),
        (SampleKind.Closed, "two middle segments missing", static d => d.Delete(d.Segment(1), d.Segment(2)), "is missing; segment 4"),
        (SampleKind.Closed, "last segment missing", static d => d.Delete(d.Segment(^1)), "is missing, or does not begin"),
        (SampleKind.Closed, "all but the last segment missing", static d => d.Delete([.. d.Segments.SkipLast(1)]), "are missing"),
        (SampleKind.SnapshotClosed, "covered segment missing", static d => d.Delete(d.Segment(0)), Whole),
        (SampleKind.SnapshotClosed, "covered segment damaged behind its header", static d => d.Zero(d.Segment(0), 40, 100), Whole),
        (SampleKind.SnapshotClosed, "covered segment empty", static d => d.Cut(d.Segment(0), 0), "is cut off inside its header"),
        (SampleKind.SnapshotClosed, "first segment behind the snapshot missing", static d => d.Delete(d.Segment(0), d.Segment(1)), "are missing"),
        (SampleKind.SnapshotClosed, "every segment missing", static d => d.Delete([.. d.Segments]), "has no journal behind it"),
        (SampleKind.SnapshotClosed, "snapshot missing", static d => d.Delete(d.Snapshot), "are missing"),
        (SampleKind.SnapshotClosed, "last segment missing", static d => d.Delete(d.Segment(^1)), "is missing, or does not begin"),
        (SampleKind.Closed, "lock missing", static d => d.Delete("LOCK"), Whole),

        // Files that are empty or cut off.
        (SampleKind.Closed, "first segment empty", static d => d.Cut(d.Segment(0), 0), "is cut off inside its header: it has 0 of 40"),
        (SampleKind.Closed, "middle segment empty", static d => d.Cut(d.Segment(1), 0), "is cut off inside its header: it has 0 of 40"),
        (SampleKind.Closed, "last segment empty", static d => d.Cut(d.Segment(^1), 0), "is cut off inside its header: it has 0 of 40"),
        (SampleKind.Closed, "last segment cut off in its header", static d => d.Cut(d.Segment(^1), 39), "is cut off inside its header: it has 39 of 40"),
        (SampleKind.Closed, "first segment without records", static d => d.Cut(d.Segment(0), 40), "is damaged at offset 40"),
        (SampleKind.Closed, "middle segment cut off in a frame", static d => d.Cut(d.Segment(1), d.Length(d.Segment(1)) - 45), "is damaged at offset"),
        (SampleKind.Closed, "middle segment without its end", static d => d.Cut(d.Segment(1), d.Length(d.Segment(1)) - 32), Whole),
        (SampleKind.SnapshotClosed, "snapshot empty", static d => d.Cut(d.Snapshot, 0), "is cut off inside its header: it has 0 of 40"),
        (SampleKind.SnapshotClosed, "snapshot of a header", static d => d.Cut(d.Snapshot, 40), "is damaged at offset 40, or ends there too early"),
        (SampleKind.SnapshotClosed, "snapshot without its end", static d => d.Cut(d.Snapshot, d.Length(d.Snapshot) - 32), "or ends there too early"),
        (SampleKind.SnapshotClosed, "snapshot cut in half", static d => d.Cut(d.Snapshot, d.Length(d.Snapshot) / 2), "or ends there too early"),
        (SampleKind.Killed, "last frame cut off", static d => d.Cut(d.Segment(^1), d.Length(d.Segment(^1)) - 1), Prefix),
        (SampleKind.SnapshotKilled, "last frame cut off", static d => d.Cut(d.Segment(^1), d.Length(d.Segment(^1)) - 1), Prefix),
        (SampleKind.Closed, "mark cut off", static d => d.Cut(d.Segment(^1), d.Length(d.Segment(^1)) - 1), Whole),
        (SampleKind.Closed, "last record of a closed journal cut off but not its mark", static d => d.Zero(d.Segment(^1), -64, 16), "is damaged at offset"),

        // Files with other bytes.
        (SampleKind.Killed, "zeros behind the last frame", static d => d.Append(d.Segment(^1), new byte[5_000]), Whole),
        (SampleKind.Killed, "garbage behind the last frame", static d => d.Append(d.Segment(^1), Garbage(5_000)), Whole),
        (SampleKind.SnapshotClosed, "garbage behind the snapshot's end", static d => d.Append(d.Snapshot, Garbage(10)), "that no release wrote"),
        (SampleKind.Closed, "first segment all zeros", static d => d.Zero(d.Segment(0), 0, (int)d.Length(d.Segment(0))), "does not begin with its magic"),
        (SampleKind.Closed, "last segment all zeros", static d => d.Zero(d.Segment(^1), 0, (int)d.Length(d.Segment(^1))), "does not begin with its magic"),
        (SampleKind.SnapshotClosed, "snapshot all zeros", static d => d.Zero(d.Snapshot, 0, (int)d.Length(d.Snapshot)), "does not begin with its magic"),
        (SampleKind.SnapshotClosed, "a segment in the place of the snapshot", static d => d.Copy(d.Segment(0), d.Snapshot), "does not begin with its magic"),
        (SampleKind.SnapshotClosed, "the snapshot in the place of a segment", static d => d.Copy(d.Snapshot, d.Segment(1)), "does not begin with its magic"),
        (SampleKind.Closed, "segment of version 1", static d => d.Version(d.Segment(0), 1), "has format version 1"),
        (SampleKind.Closed, "segment of version 3", static d => d.Version(d.Segment(^1), 3), "A newer release may have written it"),
        (SampleKind.SnapshotClosed, "snapshot of version 3", static d => d.Version(d.Snapshot, 3), "A newer release may have written it"),

        // Files with other names.
        (SampleKind.Closed, "a segment renamed", static d => d.Move(d.Segment(^1), JournalFiles.SegmentName(99)), "it was renamed"),
        (SampleKind.Closed, "a segment twice", static d => d.Copy(d.Segment(1), JournalFiles.SegmentName(99)), "it was renamed"),
        (SampleKind.Closed, "two segments swapped", static d => d.Swap(d.Segment(1), d.Segment(2)), "it was renamed"),
        (SampleKind.SnapshotClosed, "snapshot renamed to cover less", static d => d.Move(d.Snapshot, JournalFiles.SnapshotName(3)), "are missing"),
        (SampleKind.SnapshotClosed, "snapshot renamed to cover more", static d => d.Move(d.Snapshot, JournalFiles.SnapshotName(9_999)), "its name says 9999"),
        (SampleKind.Closed, "a segment with a short name", static d => d.Move(d.Segment(1), "2.journal"), "has a name that no release gave it"),
        (SampleKind.Closed, "a snapshot with a name in words", static d => d.Write("backup.snapshot", [1]), "has a name that no release gave it"),

        // Files that are too many.
        (SampleKind.Closed, "an unfinished segment", static d => d.Write(JournalFiles.SegmentName(99) + ".new", Garbage(7)), Whole),
        (SampleKind.SnapshotClosed, "an unfinished snapshot", static d => d.Write(JournalFiles.SnapshotName(99_999) + ".new", Garbage(99)), Whole),
        (SampleKind.Closed, "a tail set aside", static d => d.Write(JournalFiles.SegmentName(1) + ".40.bad", Garbage(99)), Whole),
        (SampleKind.Closed, "a file of somebody else", static d => d.Write("notes.txt", "hello"u8.ToArray()), Whole),
        (SampleKind.Closed, "a directory of somebody else", static d => Directory.CreateDirectory(d.PathOf("old")), Whole),
        (SampleKind.Closed, "the lock empty", static d => d.Cut("LOCK", 0), Whole),
        (SampleKind.Closed, "the lock garbage", static d => d.Write("LOCK", Garbage(4_000)), Whole),
        (SampleKind.SnapshotClosed, "an older snapshot beside the newer one", static d => d.Write(JournalFiles.SnapshotName(3), Garbage(99)), Whole),
        (SampleKind.SnapshotClosed, "a newer snapshot of garbage", static d => d.Write(JournalFiles.SnapshotName(99_999), Garbage(99)), "are missing|magic"),
    ];

    public static TheoryData<SampleKind, string> States()
    {
        var data = new TheoryData<SampleKind, string>();
        foreach (var (sample, name, _, _) in Table)
            data.Add(sample, name);
        return data;
    }

    [Theory]
    [MemberData(nameof(States))]
    public async Task Directory_is_refused_with_its_reason_or_opens_with_its_data(SampleKind kind, string name)
    {
        var (_, _, change, expected) = Table.Single(state => state.Sample == kind && state.Name == name);
        using var sample = await SampleDirectory.WriteAsync(kind);
        using var copy = sample.Copy();
        change(new State(copy.Path));
        var report = DirectoryCheck.Run(copy.Path);
        var log = new ListLogger();
        await using var store = SampleDirectory.Open(copy.Path, log);

        if (expected is Whole or Prefix)
        {
            await store.OpenAsync(TestContext.Current.CancellationToken);
            Assert.Empty(report.Damages);
            var lsn = sample.LsnOf(StateDigest.Of(store));
            Assert.InRange(lsn ?? -1, expected == Whole ? sample.LastLsn : sample.SyncedLsn, sample.LastLsn);
            return;
        }

        var refused = await Assert.ThrowsAsync<StreamException>(() => store.OpenAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.Equal(StreamErrorCode.Corrupt, refused.Code);
        Assert.Contains(expected.Split('|'), part => refused.Message.Contains(part, StringComparison.Ordinal));
        Assert.Contains(copy.Path, refused.Message, StringComparison.Ordinal);
        Assert.NotEmpty(report.Damages);
    }

    /// <summary>A store at work was once called damaged at that moment: the end of the segment before was taken for that of the last one.</summary>
    [Fact]
    public async Task Killed_before_the_first_frame_of_a_segment()
    {
        using var sample = await SampleDirectory.WriteAsync(SampleKind.Killed);
        using var copy = sample.Copy();
        var state = new State(copy.Path);
        state.Cut(state.Segment(^1), JournalFormat.FileHeaderBytes);

        var report = DirectoryCheck.Run(copy.Path);

        Assert.Empty(report.Damages);
        Assert.Equal(0, report.Files.Single(file => file.Name == state.Segment(^1)).Frames);
        await using var store = SampleDirectory.Open(copy.Path);
        await store.OpenAsync(TestContext.Current.CancellationToken);
        Assert.Equal(report.LastLsn, sample.LsnOf(StateDigest.Of(store)));
    }

    [Fact]
    public void Table_is_long_enough_and_names_each_state_once()
    {
        Assert.True(Table.Length >= 40);
        Assert.Equal(Table.Length, Table.Select(static state => (state.Sample, state.Name)).Distinct().Count());
    }

    private static byte[] Garbage(int count)
    {
        var bytes = new byte[count];
        new Random(7).NextBytes(bytes);
        return bytes;
    }

    /// <summary>A copy of a sample, to be changed.</summary>
    private sealed class State(string path)
    {
        public List<string> Segments { get; } = [.. Names(path, "*.journal")];

        public string Snapshot => Names(path, "*.snapshot").Single();

        public string Segment(Index index) => Segments[index];

        public string PathOf(string name) => Path.Combine(path, name);

        public long Length(string name) => new FileInfo(PathOf(name)).Length;

        public void Delete(params string[] names) => Array.ForEach(names, name => File.Delete(PathOf(name)));

        public void Write(string name, byte[] bytes) => File.WriteAllBytes(PathOf(name), bytes);

        public void Append(string name, byte[] bytes) => File.AppendAllBytes(PathOf(name), bytes);

        public void Move(string from, string to) => File.Move(PathOf(from), PathOf(to));

        public void Copy(string from, string to) => File.Copy(PathOf(from), PathOf(to), overwrite: true);

        public void Cut(string name, long length)
        {
            using var file = File.OpenHandle(PathOf(name), FileMode.Open, FileAccess.Write);
            RandomAccess.SetLength(file, length);
        }

        /// <summary>Zeros, from the end where the offset is below zero.</summary>
        public void Zero(string name, int offset, int count)
        {
            var bytes = File.ReadAllBytes(PathOf(name));
            bytes.AsSpan(offset < 0 ? bytes.Length + offset : offset, count).Clear();
            Write(name, bytes);
        }

        public void Version(string name, uint version)
        {
            var bytes = File.ReadAllBytes(PathOf(name));
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), version);
            Write(name, bytes);
        }

        public void Swap(string first, string second)
        {
            Move(first, "swap");
            Move(second, first);
            Move("swap", second);
        }

        private static IEnumerable<string> Names(string path, string pattern) =>
            Directory.GetFiles(path, pattern).Order(StringComparer.Ordinal).Select(static file => Path.GetFileName(file));
    }
}
