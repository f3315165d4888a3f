using Microsoft.Extensions.Logging;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Reads a segment from its start and hands out each whole record once. What is wrong at the end is a write that a crash cut off: it was never
/// acknowledged and is truncated. What is wrong in front of a whole record is damage to acknowledged data: recovery stops and touches nothing.
/// </summary>
/// <remarks>
/// Streams the file through one window, so memory is bounded by the largest record, not by the file. The one thing it cannot tell apart from a
/// cut-off write is damage to the very last record.
/// </remarks>
internal sealed class JournalRecovery(IStorageFile file, string path, ILogger logger)
{
    private const int WindowBytes = 1024 * 1024;

    private readonly long _fileLength = file.Length;
    private byte[] _window = new byte[WindowBytes];
    private long _windowOffset;
    private int _windowLength;

    /// <summary>Replays the segment and cuts a torn tail off.</summary>
    /// <param name="replay">Called with the payload of each record in order. The memory is valid during the call only.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>, naming file and offset.</exception>
    public RecoveredSegment Run(Action<ReadOnlyMemory<byte>> replay)
    {
        var header = JournalFormat.ReadSegmentHeader(Read(0, JournalFormat.SegmentHeaderBytes).Span, path);
        long offset = JournalFormat.SegmentHeaderBytes;
        var lsn = header.FirstLsn;
        while (TryReadRecord(offset, header.Salt, out var record) && record.Lsn == lsn)
        {
            Replay(replay, record, offset);
            offset += JournalFormat.RecordHeaderBytes + record.Payload.Length;
            lsn++;
        }

        if (offset < _fileLength)
            TruncateTornTail(offset, header.Salt, lsn);
        JournalLog.Recovered(logger, path, lsn - header.FirstLsn, offset);
        return new(header, offset, lsn - 1);
    }

    private void Replay(Action<ReadOnlyMemory<byte>> replay, Record record, long offset)
    {
        try
        {
            replay(record.Payload);
        }
        catch (Exception exception)
        {
            throw new StreamException(
                StreamErrorCode.Corrupt,
                $"Record {record.Lsn} at offset {offset} of the journal '{path}' is whole but cannot be applied: {exception.Message}",
                exception);
        }
    }

    private void TruncateTornTail(long offset, ulong salt, long missingLsn)
    {
        if (FindRecord(offset, salt, missingLsn) is { } next)
            throw new StreamException(
                StreamErrorCode.Corrupt,
                $"The journal '{path}' is damaged at offset {offset}: record {missingLsn} is missing or fails its checksum, and record {next.Lsn} " +
                $"at offset {next.Offset} behind it is whole. Nothing was changed. Restore the directory from a copy.");

        file.SetLength(offset);
        file.Sync();
        JournalLog.TornTailTruncated(logger, path, _fileLength - offset, offset, missingLsn - 1);
    }

    /// <summary>
    /// Looks for a whole record that a tail could not have. Tries every byte, because a damaged length hides where the next record begins;
    /// only a plausible LSN is worth a checksum, so this is one pass over the bytes.
    /// </summary>
    private (long Offset, long Lsn)? FindRecord(long start, ulong salt, long fromLsn)
    {
        var lastLsn = fromLsn + ((_fileLength - start) / JournalFormat.RecordHeaderBytes);
        for (var offset = start; offset + JournalFormat.RecordHeaderBytes <= _fileLength; offset++)
        {
            var lsn = JournalFormat.ReadRecordHeader(Read(offset, JournalFormat.RecordHeaderBytes).Span).Lsn;
            if (lsn >= fromLsn && lsn <= lastLsn && TryReadRecord(offset, salt, out _))
                return (offset, lsn);
        }

        return null;
    }

    private bool TryReadRecord(long offset, ulong salt, out Record record)
    {
        record = default;
        var headerBytes = Read(offset, JournalFormat.RecordHeaderBytes);
        if (headerBytes.Length < JournalFormat.RecordHeaderBytes)
            return false;

        // The length is not trusted before the checksum is: bounded by the limit and the file before anything is allocated for it.
        var header = JournalFormat.ReadRecordHeader(headerBytes.Span);
        if (header.Length > JournalFormat.MaxRecordBytes || header.Length > _fileLength - offset - JournalFormat.RecordHeaderBytes)
            return false;

        var payload = Read(offset, JournalFormat.RecordHeaderBytes + (int)header.Length)[JournalFormat.RecordHeaderBytes..];
        record = new(header.Lsn, payload);
        return JournalFormat.RecordCrc(salt, header.Lsn, payload.Span) == header.Crc;
    }

    /// <summary>Bytes of the file, fewer only at its end. Valid until the next call.</summary>
    private ReadOnlyMemory<byte> Read(long offset, int count)
    {
        if (offset < _windowOffset || offset + count > _windowOffset + _windowLength)
            FillWindow(offset, count);
        var start = (int)(offset - _windowOffset);
        return _window.AsMemory(start, Math.Min(count, _windowLength - start));
    }

    private void FillWindow(long offset, int count)
    {
        if (count > _window.Length)
            _window = new byte[count];
        _windowOffset = offset;
        _windowLength = 0;
        while (_windowLength < _window.Length)
        {
            var read = file.Read(_window.AsSpan(_windowLength), offset + _windowLength);
            if (read == 0)
                return;
            _windowLength += read;
        }
    }

    private readonly record struct Record(long Lsn, ReadOnlyMemory<byte> Payload);
}

/// <summary>Where a recovered segment ends and the next record goes.</summary>
/// <param name="Header">The segment's header.</param>
/// <param name="Length">Bytes of the segment, the torn tail not counted.</param>
/// <param name="LastLsn">The last record's LSN; one less than the first LSN when there is no record.</param>
internal readonly record struct RecoveredSegment(SegmentHeader Header, long Length, long LastLsn);
