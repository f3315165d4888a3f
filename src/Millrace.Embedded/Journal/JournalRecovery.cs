using Microsoft.Extensions.Logging;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Reads a data directory: the newest snapshot, then each record behind it once, in order. What is missing or damaged although it was known to be on
/// the device stops recovery, and nothing is changed. What is wrong where nothing was known to be on the device is a write that a crash cut off: it
/// is taken out (<see cref="TornTail"/>).
/// </summary>
/// <remarks>
/// Streams the files, so memory is bounded by the largest frame. Everything it does may be cut off by a crash and done again. It ends with a write and
/// a sync of what may not be on the device (<see cref="UnsyncedTail"/>): a killed process leaves records in the operating system's memory, and nobody
/// must see what a power cut could still take.
/// </remarks>
internal sealed class JournalRecovery(IStorageDevice device, TimeProvider time, ILogger logger)
{
    /// <summary>The record that comes next.</summary>
    private long _lsn;

    private long _markedLsn;
    private long _recordCount;
    private long _recordBytes;

    /// <summary>What to do with a directory that is damaged.</summary>
    public static string Advice(string path) =>
        $"Restore the directory from a copy, or keep what can be read: millrace journal salvage '{Path.GetDirectoryName(path)}'";

    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>, naming file and offset.</exception>
    public RecoveredJournal Run(IJournalReplay replay)
    {
        var started = time.GetTimestamp();
        var snapshots = JournalFiles.Snapshots(device);
        var snapshotLsn = snapshots.Count > 0 ? snapshots[^1] : 0;
        var numbers = JournalFiles.Segments(device);
        if (numbers.Count == 0 && snapshots.Count > 0)
            throw Corrupt(JournalFiles.SnapshotName(snapshotLsn), "has no journal behind it: every file of that is missing.");
        if (numbers.Count == 0)
            MakeFirstSegment(numbers);

        var headers = numbers.ConvertAll(ReadHeader);
        var first = FindFirst(headers, snapshotLsn);
        var snapshotBytes = snapshotLsn > 0 ? ReadSnapshot(snapshotLsn, replay) : 0;
        _lsn = headers[first].FirstLsn;
        _markedLsn = snapshotLsn;
        var unsynced = new UnsyncedTail(device, headers[first], snapshotLsn);
        var segment = ReadSegments(headers[first..], snapshotLsn, replay, unsynced);
        try
        {
            unsynced.WriteAndSync(segment.Header.Number);
            DeleteLeftovers(snapshots, headers[..first]);
        }
        catch
        {
            segment.Dispose();
            throw;
        }

        var spans = headers[first..]
            .Where(header => header.Number <= segment.Header.Number)
            .Select(header => new SegmentSpan(header.Number, header.FirstLsn));
        JournalLog.Recovered(
            logger, device.Path, (long)time.GetElapsedTime(started).TotalMilliseconds, snapshotBytes, _recordCount, _recordBytes);
        return new(segment, [.. spans], _lsn - 1, _markedLsn, _recordBytes, snapshotLsn, snapshotBytes);
    }

    private void MakeFirstSegment(List<long> numbers)
    {
        using var segment = JournalSegment.Make(device, number: 1, firstLsn: 1);
        segment.Publish(device);
        numbers.Add(1);
    }

    private FileHeader ReadHeader(long number)
    {
        var name = JournalFiles.SegmentName(number);
        using var file = device.Open(name, writable: false);
        Span<byte> bytes = stackalloc byte[JournalFormat.FileHeaderBytes];
        var length = 0;
        while (length < bytes.Length && file.Read(bytes[length..], length) is > 0 and var read)
            length += read;

        var header = JournalFormat.ReadFileHeader(bytes[..length], isSnapshot: false, JournalFiles.PathOf(device, name));
        return header.Number == number && header.FirstLsn > 0
            ? header
            : throw Corrupt(name, $"says in its header that it is segment {header.Number} from record {header.FirstLsn}: it was renamed.");
    }

    /// <summary>
    /// Where reading begins: the last segment that still starts in what the snapshot covers. Those in front of it are covered wholly, and may have
    /// holes where a crash came while they were deleted; from it on none may be missing.
    /// </summary>
    private int FindFirst(List<FileHeader> headers, long snapshotLsn)
    {
        var first = headers.FindLastIndex(header => header.FirstLsn <= snapshotLsn + 1);
        if (first < 0)
            throw Corrupt(
                JournalFiles.SegmentName(headers[0].Number),
                $"begins with record {headers[0].FirstLsn}: records {snapshotLsn + 1} to {headers[0].FirstLsn - 1} are missing with their files.");
        for (var i = first + 1; i < headers.Count; i++)
        {
            if (headers[i].Number != headers[i - 1].Number + 1)
                throw Corrupt(JournalFiles.SegmentName(headers[i - 1].Number + 1), $"is missing; segment {headers[i].Number} behind it is there.");
        }

        return first;
    }

    private long ReadSnapshot(long coveredLsn, IJournalReplay replay)
    {
        var name = JournalFiles.SnapshotName(coveredLsn);
        using var file = device.Open(name, writable: false);
        return SnapshotFile.Read(file, JournalFiles.PathOf(device, name), coveredLsn, replay);
    }

    /// <returns>The segment that takes the next records.</returns>
    private JournalSegment ReadSegments(List<FileHeader> headers, long snapshotLsn, IJournalReplay replay, UnsyncedTail unsynced)
    {
        for (var i = 0; ; i++)
        {
            var name = JournalFiles.SegmentName(headers[i].Number);
            var file = device.Open(name, writable: true);
            try
            {
                var reader = new FrameReader(file, isSnapshot: false, JournalFiles.PathOf(device, name));
                var isEnded = ReadFrames(reader, snapshotLsn, replay, unsynced);
                var isLast = i == headers.Count - 1;
                if (isEnded && (isLast || headers[i + 1].FirstLsn != _lsn))
                    throw Corrupt(
                        JournalFiles.SegmentName(headers[i].Number + 1),
                        $"is missing, or does not begin with record {_lsn}, as the segment before it says.");

                // Also when the file ends between two frames: what came behind them then never reached the device, and the next segment did.
                // Behind an end nothing counts: a crash brings back what was cut off there after a write that failed.
                var isTorn = !isEnded && (!reader.IsOver() || (!isLast && headers[i + 1].FirstLsn != _lsn));
                if (isTorn)
                    new TornTail(device, logger).Cut(reader, file, _lsn, snapshotLsn, headers[(i + 1)..]);
                if (isLast || isTorn)
                {
                    if (_lsn <= snapshotLsn)
                        throw Corrupt(name, $"ends before record {_lsn}, which the snapshot covers.");
                    if (!isTorn)
                        CutZeros(reader, file);
                    return new JournalSegment(file, reader.Path, reader.Header, reader.Offset);
                }

                file.Dispose();
            }
            catch
            {
                file.Dispose();
                throw;
            }
        }
    }

    /// <summary>
    /// A killed process leaves zeros where it made room ahead of the next frames; so do some file systems when the power fails, where frames were.
    /// </summary>
    private void CutZeros(FrameReader reader, IStorageFile file)
    {
        var length = file.Length;
        if (reader.Offset >= length)
            return;
        file.SetLength(reader.Offset);
        JournalLog.ZerosCut(logger, reader.Path, length - reader.Offset, reader.Offset, _lsn - 1);
    }

    /// <summary>Reads frames up to the first that is not whole. The reader stays in front of that.</summary>
    /// <returns>Whether the last frame says that another segment follows.</returns>
    private bool ReadFrames(FrameReader reader, long snapshotLsn, IJournalReplay replay, UnsyncedTail unsynced)
    {
        while (reader.TryRead(_lsn, out var frame, out var payload))
        {
            unsynced.Add(frame, reader.Header.Number, reader.Offset);
            if (frame.Kind == FrameKind.End)
                return true;
            if (frame.Kind == FrameKind.Mark)
                _markedLsn = Math.Max(_markedLsn, _lsn - 1);
            else
                ReplayRecords(reader, frame, payload, snapshotLsn, replay);
        }

        return false;
    }

    private void ReplayRecords(FrameReader reader, in FrameHeader frame, ReadOnlySpan<byte> payload, long snapshotLsn, IJournalReplay replay)
    {
        var records = new FrameRecords(payload);
        for (var i = 0; i < frame.Count; i++)
        {
            if (!records.TryNext(out var record))
                throw Refused("does not fit into its frame", null);
            if (_lsn > snapshotLsn)
            {
                Replay(record);
                _recordCount++;
                _recordBytes += record.Length;
            }

            _lsn++;
        }

        if (!records.IsAtEnd)
            throw Refused("is not in a frame that has bytes of it", null);

        void Replay(ReadOnlySpan<byte> record)
        {
            try
            {
                replay.Record(record);
            }
            catch (Exception exception)
            {
                throw Refused($"is whole but cannot be applied: {exception.Message}", exception);
            }
        }

        StreamException Refused(string why, Exception? cause) => new(
            StreamErrorCode.Corrupt, $"Record {_lsn} before offset {reader.Offset} of the journal '{reader.Path}' {why}. {Advice(reader.Path)}", cause);
    }

    /// <summary>
    /// What crashes and earlier snapshots left. The oldest first, so that another crash leaves no hole. The names of what stays come first: a killed
    /// process may have renamed a segment or a snapshot and not synced that, and all that is acknowledged from now on depends on it.
    /// </summary>
    private void DeleteLeftovers(List<long> snapshots, List<FileHeader> covered)
    {
        device.SyncDirectory();
        var names = device.List().Where(JournalFiles.IsUnfinished).ToList();
        names.AddRange(snapshots.SkipLast(1).Select(JournalFiles.SnapshotName));
        names.AddRange(covered.Select(header => JournalFiles.SegmentName(header.Number)));
        foreach (var name in names)
            device.Delete(name);
        if (names.Count > 0)
            device.SyncDirectory();
    }

    private StreamException Corrupt(string name, string what)
    {
        var path = JournalFiles.PathOf(device, name);
        return new(StreamErrorCode.Corrupt, $"The file '{path}' {what} Nothing was changed. {Advice(path)}");
    }
}

/// <summary>Where recovery ended and the next record goes.</summary>
/// <param name="Segment">Takes the next records.</param>
/// <param name="Segments">Every segment that is needed, that one included.</param>
/// <param name="LastLsn">The last record; zero: there is none.</param>
/// <param name="MarkedLsn">Up to where a mark or the snapshot says that all is on the device.</param>
/// <param name="BytesSinceSnapshot">Bytes of the records behind the snapshot.</param>
/// <param name="SnapshotLsn">The last record that the snapshot covers; zero: there is none.</param>
/// <param name="SnapshotBytes">Its size.</param>
internal sealed record RecoveredJournal(
    JournalSegment Segment,
    List<SegmentSpan> Segments,
    long LastLsn,
    long MarkedLsn,
    long BytesSinceSnapshot,
    long SnapshotLsn,
    long SnapshotBytes);
