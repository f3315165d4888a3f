using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;
using Millrace.Streams.Engine.Records;

namespace Millrace.Embedded.Inspection;

/// <summary>
/// Reads a data directory from end to end over whatever is damaged in it. Takes no lock and changes nothing, so that a store may be at work in it.
/// </summary>
/// <remarks>The rules are those of a start: a gap is damage if a later frame says that it was synced, and otherwise the torn tail.</remarks>
internal sealed class DirectorySurvey
{
    /// <summary>
    /// A store at work deletes files while they are read, and writes where zeros were read a moment ago, so that what comes behind seems to follow a
    /// hole. Each deletion follows a whole snapshot, and holes move on, so that a few attempts are plenty.
    /// </summary>
    private const int MaxAttempts = 10;

    private readonly DataDirectory _directory;
    private readonly List<FileReport> _files = [];
    private readonly List<Damage> _damages = [];
    private readonly List<Gap> _gaps = [];
    private readonly SortedDictionary<string, long> _kinds = new(StringComparer.Ordinal);

    /// <summary>The LSN of the last record that the newest snapshot covers.</summary>
    private long _coveredLsn;

    /// <summary>The LSN that the next record must have; 0 until the first segment says it.</summary>
    private long _nextLsn;

    private long _lastSegment;
    private long _syncedLsn;

    /// <summary>Null: the last segment has none yet.</summary>
    private FrameKind? _lastFrame;

    private DirectorySurvey(DataDirectory directory) => _directory = directory;

    /// <exception cref="IOException">The directory or a file in it cannot be read.</exception>
    public static DirectoryReport Read(string path)
    {
        IReadOnlyList<Damage> seenBefore = [];
        for (var attempt = 1; ; attempt++)
        {
            var directory = DataDirectory.List(path);
            try
            {
                var report = new DirectorySurvey(directory).Run();
                if (report.Damages.Count == 0 || attempt == MaxAttempts || (directory.IsUnchanged() && report.Damages.SequenceEqual(seenBefore)))
                    return report;
                seenBefore = report.Damages;
            }
            catch (FileNotFoundException) when (attempt < MaxAttempts)
            {
                // Deleted since it was listed, because a snapshot covers it: the next attempt sees the snapshot.
            }
        }
    }

    private DirectoryReport Run()
    {
        foreach (var name in _directory.Others)
            _files.Add(ReadOther(name));
        foreach (var (lsn, name) in _directory.Snapshots)
            _files.Add(lsn == _directory.Snapshots[^1].Number ? ReadSnapshot(lsn, name) : Replaced(name, "snapshot"));
        var first = FindFirst();
        for (var i = 0; i < _directory.Segments.Count; i++)
        {
            var (segment, name) = _directory.Segments[i];
            _files.Add(i >= first ? ReadSegment(segment, name) : Replaced(name, "segment"));
        }

        CheckEnd();
        var tail = JudgeGaps();
        return new()
        {
            Directory = _directory.Path,
            Files = [.. _files.OrderBy(static file => file.Name, StringComparer.Ordinal)],
            LastLsn = Math.Max(_coveredLsn, tail is null ? _nextLsn - 1 : tail.Lsn - 1),
            SyncedLsn = Math.Max(_coveredLsn, _syncedLsn),
            IsClosedCleanly = _lastFrame == FrameKind.Mark && tail is null,
            RecordsByKind = _kinds,
            Tail = tail,
            Damages = _damages,
        };
    }

    private FileReport ReadOther(string name)
    {
        var bytes = new FileInfo(_directory.PathOf(name)).Length;
        var isMade = JournalFiles.IsUnfinished(name);
        var isTail = name.EndsWith(JournalFiles.SetAsideSuffix, StringComparison.Ordinal);
        if (name == DataDirectory.LockName)
            return new() { Name = name, Kind = "lock", Bytes = bytes, Note = $"opened last by {DirectoryLock.ReadHolder(_directory.PathOf(name))}" };
        if (isMade || isTail)
        {
            var note = isMade ? "a file half made; the next start deletes it" : "a torn tail that a start set aside; never read";
            return new() { Name = name, Kind = isMade ? "unfinished" : "tail", Bytes = bytes, Note = note };
        }

        if (DataDirectory.IsMisnamed(name))
            _damages.Add(new(name, 0, 0, 0, "The name is none that a release gave."));
        return new() { Name = name, Kind = "unknown", Bytes = bytes };
    }

    private FileReport Replaced(string name, string kind) => new()
    {
        Name = name, Kind = kind, Bytes = new FileInfo(_directory.PathOf(name)).Length, Note = "covered by a newer snapshot; the next start deletes it",
    };

    /// <summary>
    /// Where a start begins to read: with the last segment that starts in what the snapshot covers. Of those before, the headers must be whole.
    /// </summary>
    private int FindFirst()
    {
        var segments = _directory.Segments;
        var first = segments.Count - 1;
        while (first > 0 && !(FirstLsnOf(segments[first].Name) <= _coveredLsn + 1))
            first--;
        for (var i = 0; i < first; i++)
        {
            using var file = _directory.Open(segments[i].Name);
            TryReadHeader(file, isSnapshot: false, segments[i].Number, segments[i].Name);
        }

        return first;
    }

    /// <summary>Null: its header is damaged, which is told when the segment is read.</summary>
    private long? FirstLsnOf(string name)
    {
        using var file = _directory.Open(name);
        try
        {
            return new FrameReader(file, isSnapshot: false, name).Header.FirstLsn;
        }
        catch (StreamException)
        {
            return null;
        }
    }

    private FileReport ReadSnapshot(long lsn, string name)
    {
        using var file = _directory.Open(name);
        var report = new FileReport { Name = name, Kind = "snapshot", Bytes = file.Length, LastLsn = lsn };
        _coveredLsn = lsn;
        if (TryReadHeader(file, isSnapshot: true, lsn, name) is not { } reader)
            return report;
        long parts = 0, frames = 0;
        var isEnded = false;
        FrameScan.Run(
            reader,
            (in FrameHeader frame, ReadOnlySpan<byte> payload, long offset) =>
            {
                if (isEnded || frame.FirstLsn != parts + 1)
                    _damages.Add(new(name, offset, 0, 0, $"Part {parts + 1} of the snapshot is missing."));
                parts = frame.NextLsn - 1;
                isEnded |= frame.Kind == FrameKind.End;
                frames++;
            },
            (offset, bytes) => _damages.Add(new(name, offset, 0, 0, $"{bytes} bytes of the snapshot are no whole frame.")));
        if (!isEnded)
            _damages.Add(new(name, file.Length, 0, 0, "The end of the snapshot is missing."));
        return report with { Version = JournalFormat.Version, Records = parts, Frames = frames };
    }

    private FileReport ReadSegment(long segment, string name)
    {
        using var file = _directory.Open(name);
        var report = new FileReport { Name = name, Kind = "segment", Bytes = file.Length, Segment = segment };
        if (_lastSegment > 0 && segment != _lastSegment + 1)
            AddMissing("there are segments before and behind it");
        _lastSegment = segment;
        _lastFrame = null;
        if (TryReadHeader(file, isSnapshot: false, segment, name) is not { } reader)
            return report;

        if (_nextLsn == 0)
            _nextLsn = Math.Min(reader.Header.FirstLsn, _coveredLsn + 1);
        Meet(reader.Header.FirstLsn, name, 0);
        _nextLsn = reader.Header.FirstLsn;
        long records = 0, frames = 0;
        var syncedLsn = FrameScan.Run(
            reader,
            (in FrameHeader frame, ReadOnlySpan<byte> payload, long offset) =>
            {
                Meet(frame.FirstLsn, name, offset);
                Count(payload, frame, name, offset);
                _nextLsn = frame.NextLsn;
                _lastFrame = frame.Kind;
                records += frame.Count;
                frames++;
            },
            (offset, bytes) =>
            {
                if (_lastFrame != FrameKind.End)
                    _gaps.Add(new(name, offset, bytes, _nextLsn));
            });
        _syncedLsn = Math.Max(_syncedLsn, syncedLsn);
        return report with
        {
            Version = JournalFormat.Version,
            FirstLsn = reader.Header.FirstLsn,
            LastLsn = records > 0 ? _nextLsn - 1 : null,
            Records = records,
            Frames = frames,
            SyncedLsn = syncedLsn,
        };
    }

    private FrameReader? TryReadHeader(IStorageFile file, bool isSnapshot, long number, string name)
    {
        try
        {
            var reader = new FrameReader(file, isSnapshot, name);
            if (reader.Header.Number == number)
                return reader;
            _damages.Add(new(name, 0, 0, 0, $"Its header says that it is number {reader.Header.Number}: it was renamed, or copied over another one."));
        }
        catch (StreamException e)
        {
            _damages.Add(new(name, 0, _nextLsn, _nextLsn, e.Message));
        }

        return null;
    }

    /// <summary>A record has been found: what should have come before it, and did not, is a gap.</summary>
    private void Meet(long lsn, string name, long offset)
    {
        if (_gaps is [.., { IsOpen: true } gap])
            gap.LastLsn = lsn - 1;
        else if (lsn > _nextLsn)
            _gaps.Add(new(name, offset, 0, _nextLsn) { LastLsn = lsn - 1 });
        else if (lsn < _nextLsn)
            _damages.Add(new(name, offset, lsn, lsn, $"The record comes twice: {_nextLsn} should follow here."));
    }

    private void Count(ReadOnlySpan<byte> payload, in FrameHeader frame, string name, long offset)
    {
        var records = new FrameRecords(payload);
        var count = 0;
        for (; records.TryNext(out var record); count++)
        {
            var kind = record.Length > 0 ? ((MutationKind)record[0]).ToString() : "empty";
            _kinds[kind] = _kinds.GetValueOrDefault(kind) + 1;
        }

        if (count != frame.Count || !records.IsAtEnd)
            _damages.Add(new(name, offset, frame.FirstLsn, frame.NextLsn - 1, "The frame does not hold the records that it says it holds."));
    }

    private void AddMissing(string why) =>
        _damages.Add(new(JournalFiles.SegmentName(_lastSegment + 1), 0, _nextLsn, _nextLsn, $"The file is missing: {why}."));

    private void CheckEnd()
    {
        if (_lastFrame == FrameKind.End)
            AddMissing("the segment before it says that it follows");
        if (_coveredLsn > 0 && _nextLsn == 0)
            _damages.Add(new(JournalFiles.SnapshotName(_coveredLsn), 0, _coveredLsn + 1, _coveredLsn + 1, "There is no segment behind the snapshot."));
        else if (_nextLsn <= _coveredLsn)
            _damages.Add(new(JournalFiles.SegmentName(_lastSegment), 0, _nextLsn, _coveredLsn, "The last segment ends before what the snapshot covers."));
    }

    /// <summary>Tells damage from the torn tail.</summary>
    private TailReport? JudgeGaps()
    {
        TailReport? tail = null;
        foreach (var gap in _gaps)
        {
            // A frame never says so of a record behind it: the one that does lies behind the gap.
            if (gap.FirstLsn <= _syncedLsn || gap.FirstLsn <= _coveredLsn)
                _damages.Add(new(gap.File, gap.Offset, gap.FirstLsn, Math.Max(gap.FirstLsn, gap.LastLsn), Describe(gap)));
            else
                tail ??= new(gap.File, gap.Offset, BytesFrom(gap), gap.FirstLsn);
        }

        return tail;
    }

    private string Describe(Gap gap) => gap.Bytes > 0
        ? $"{gap.Bytes} bytes are no whole frame, and what follows says that everything up to record {_syncedLsn} was on the device."
        : "The records are missing.";

    private long BytesFrom(Gap gap) =>
        _files.Where(file => file.Kind == "segment" && string.CompareOrdinal(file.Name, gap.File) >= 0).Sum(static file => file.Bytes) - gap.Offset;

    /// <summary>Bytes that are no whole frame, or nothing where records should be.</summary>
    private sealed class Gap(string file, long offset, long bytes, long firstLsn)
    {
        public string File { get; } = file;

        public long Offset { get; } = offset;

        public long Bytes { get; } = bytes;

        public long FirstLsn { get; } = firstLsn;

        /// <summary>Known when a record is found behind it.</summary>
        public long LastLsn { get; set; }

        public bool IsOpen => LastLsn == 0;
    }
}
