using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>The file of a snapshot: the parts of the engine in frames, as records numbered from 1, and the frame that says that these were all.</summary>
internal static class SnapshotFile
{
    /// <summary>Writes the file; the caller syncs it. The memory of a part is not needed when the next is asked for.</summary>
    /// <returns>Bytes of the file.</returns>
    public static long Write(
        IStorageFile file, long coveredLsn, int frameBytes, IEnumerable<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken)
    {
        var header = new FileHeader(IsSnapshot: true, coveredLsn, FirstLsn: 1, JournalFiles.NewSalt());
        Span<byte> bytes = stackalloc byte[JournalFormat.FileHeaderBytes];
        JournalFormat.WriteFileHeader(bytes, header);
        file.Write(bytes, 0);

        long length = bytes.Length;
        var frame = new FrameBuffer();
        frame.Begin(firstLsn: 1, beginsSegment: false);
        foreach (var part in parts)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (!frame.HasRoom(part.Length, frameBytes))
                WriteFrame();
            frame.Add(part.Span);
        }

        if (frame.LastLsn >= frame.FirstLsn)
            WriteFrame();
        var end = bytes[..JournalFormat.FrameHeaderBytes];
        JournalFormat.WriteFrameHeader(end, header.Salt, new(FrameKind.End, 0, 0, JournalFormat.PayloadCrc([]), frame.FirstLsn, SyncedLsn: 0));
        file.Write(end, length);
        return length + end.Length;

        void WriteFrame()
        {
            file.Write(frame.Seal(header.Salt, syncedLsn: 0), length);
            length += frame.Length;
            frame.Begin(frame.LastLsn + 1, beginsSegment: false);
        }
    }

    /// <summary>Reads the file and hands out its parts.</summary>
    /// <returns>Bytes of the file.</returns>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: it is not whole, or the parts were refused.</exception>
    public static long Read(IStorageFile file, string path, long coveredLsn, IJournalReplay replay)
    {
        var reader = new FrameReader(file, isSnapshot: true, path);
        if (reader.Header.Number != coveredLsn || reader.Header.FirstLsn != 1)
            throw Damaged($"says in its header that it covers the records to {reader.Header.Number}, and its name says {coveredLsn}");

        var lsn = 1L;
        while (reader.TryRead(lsn, out var frame, out var payload))
        {
            if (frame.Kind == FrameKind.End && reader.Offset == reader.FileLength)
            {
                Replay(static (replay, _) => replay.SnapshotEnd(), []);
                return reader.FileLength;
            }

            var records = new FrameRecords(payload);
            for (var i = 0; i < frame.Count; i++)
            {
                if (!records.TryNext(out var part))
                    throw Damaged($"has a part {lsn + i} that does not fit into its frame before offset {reader.Offset}");
                Replay(static (replay, part) => replay.SnapshotPart(part), part);
            }

            if (frame.Kind != FrameKind.Records || !records.IsAtEnd)
                throw Damaged($"has a frame before offset {reader.Offset} that no release wrote");
            lsn = frame.NextLsn;
        }

        throw Damaged($"is damaged at offset {reader.Offset}, or ends there too early: part {lsn} is missing or fails its checksum");

        void Replay(ReplayCall call, ReadOnlySpan<byte> part)
        {
            try
            {
                call(replay, part);
            }
            catch (Exception exception)
            {
                throw Damaged($"has whole checksums before offset {reader.Offset} but cannot be applied: {exception.Message}", exception);
            }
        }

        StreamException Damaged(string what, Exception? cause = null) =>
            new(StreamErrorCode.Corrupt, $"The snapshot '{path}' {what}. Nothing was changed. {JournalRecovery.Advice(path)}", cause);
    }

    private delegate void ReplayCall(IJournalReplay replay, ReadOnlySpan<byte> part);
}
