using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>The file of a snapshot: the parts of the engine in frames, as records numbered from 1, and the frame that says that these were all.</summary>
internal static class SnapshotFile
{
    /// <summary>Writes the file; the caller syncs it.</summary>
    /// <param name="file">The file, empty.</param>
    /// <param name="coveredLsn">The last record that the snapshot covers.</param>
    /// <param name="frameBytes">Parts are gathered into frames up to this.</param>
    /// <param name="writeParts">Hands over the parts in order, each with a call, after which its memory is not needed any more.</param>
    /// <param name="cancellationToken">Gives up between two parts.</param>
    /// <returns>Bytes of the file.</returns>
    public static long Write(
        IStorageFile file, long coveredLsn, int frameBytes, Action<Action<ReadOnlyMemory<byte>>> writeParts, CancellationToken cancellationToken)
    {
        var header = new FileHeader(IsSnapshot: true, coveredLsn, FirstLsn: 1, JournalFiles.NewSalt());
        var bytes = new byte[JournalFormat.FileHeaderBytes];
        JournalFormat.WriteFileHeader(bytes, header);
        file.Write(bytes, 0);

        long length = bytes.Length;
        var frame = new FrameBuffer();
        frame.Begin(firstLsn: 1, beginsSegment: false);
        writeParts(Add);
        if (frame.LastLsn >= frame.FirstLsn)
            WriteFrame();
        var end = bytes.AsSpan(..JournalFormat.FrameHeaderBytes);
        JournalFormat.WriteFrameHeader(end, header.Salt, new(FrameKind.End, 0, 0, JournalFormat.PayloadCrc([]), frame.FirstLsn, SyncedLsn: 0));
        file.Write(end, length);
        return length + end.Length;

        void Add(ReadOnlyMemory<byte> part)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (!frame.HasRoom(part.Length, frameBytes))
                WriteFrame();
            frame.Add(part.Span);
        }

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
        var isWhole = false;
        StreamException? damage = null;
        if (reader.Header.Number != coveredLsn || reader.Header.FirstLsn != 1)
            throw Damaged($"says in its header that it covers the records to {reader.Header.Number}, and its name says {coveredLsn}");
        try
        {
            replay.Snapshot(Parts());
        }
        catch (Exception exception) when (exception != damage)
        {
            throw Damaged($"has whole checksums before offset {reader.Offset} but cannot be applied: {exception.Message}", exception);
        }

        return isWhole ? reader.FileLength : throw Damaged($"has more behind offset {reader.Offset} than can be applied");

        IEnumerable<ReadOnlyMemory<byte>> Parts()
        {
            var lsn = 1L;
            while (reader.TryRead(lsn, out var frame, out _))
            {
                if (isWhole = frame.Kind == FrameKind.End && reader.Offset == reader.FileLength)
                    yield break;

                var (payload, offset) = (reader.PayloadOf(frame), 0);
                for (var i = 0; i < frame.Count; i++)
                {
                    if (!Varint.TryRead(payload.Span, ref offset, out var length) || length > (ulong)(payload.Length - offset))
                        throw Damaged($"has a part {lsn + i} that does not fit into its frame before offset {reader.Offset}");
                    yield return payload.Slice(offset, (int)length);
                    offset += (int)length;
                }

                if (frame.Kind != FrameKind.Records || offset != payload.Length)
                    throw Damaged($"has a frame before offset {reader.Offset} that no release wrote");
                lsn = frame.NextLsn;
            }

            throw Damaged($"is damaged at offset {reader.Offset}, or ends there too early: part {lsn} is missing or fails its checksum");
        }

        StreamException Damaged(string what, Exception? cause = null) => damage = new(
            StreamErrorCode.Corrupt, $"The snapshot '{path}' {what}. Nothing was changed. {JournalRecovery.Advice(path)}", cause);
    }
}
