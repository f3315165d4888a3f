using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Reads the frames of one file from its start, through one window: memory is bounded by the largest frame, not by the file. Serves segments and
/// snapshots, at recovery and for the tools.
/// </summary>
internal sealed class FrameReader
{
    private const int WindowBytes = 2 * 1024 * 1024;

    private readonly IStorageFile _file;
    private byte[] _window;
    private long _windowOffset;
    private int _windowLength;

    /// <summary>Reads the file's header.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: the header is damaged or not ours.</exception>
    public FrameReader(IStorageFile file, bool isSnapshot, string path)
    {
        _file = file;
        Path = path;
        FileLength = file.Length;
        _window = new byte[Math.Clamp(FileLength, JournalFormat.FileHeaderBytes, WindowBytes)];
        Header = JournalFormat.ReadFileHeader(Read(0, JournalFormat.FileHeaderBytes), isSnapshot, path);
        Offset = JournalFormat.FileHeaderBytes;
    }

    /// <summary>The file, for messages.</summary>
    public string Path { get; }

    public FileHeader Header { get; }

    /// <summary>Bytes of the file when the reader was made.</summary>
    public long FileLength { get; }

    /// <summary>Where the next frame begins.</summary>
    public long Offset { get; private set; }

    /// <summary>Reads the frame at <see cref="Offset"/> if it is whole and begins with the record, and goes behind it.</summary>
    /// <param name="lsn">The record.</param>
    /// <param name="frame">Its header.</param>
    /// <param name="payload">Its records; valid until the next call.</param>
    public bool TryRead(long lsn, out FrameHeader frame, out ReadOnlySpan<byte> payload)
    {
        payload = default;
        if (!JournalFormat.TryReadFrameHeader(Read(Offset, JournalFormat.FrameHeaderBytes), Header.Salt, out frame)
            || frame.FirstLsn != lsn
            || frame.Length > FileLength - Offset - JournalFormat.FrameHeaderBytes)
            return false;

        var bytes = Read(Offset, JournalFormat.FrameHeaderBytes + frame.Length);
        payload = bytes[JournalFormat.FrameHeaderBytes..];
        if (payload.Length != frame.Length || JournalFormat.PayloadCrc(payload) != frame.PayloadCrc)
            return false;
        Offset += bytes.Length;
        return true;
    }

    /// <summary>The records of the frame that was just read, as memory; valid until the next call.</summary>
    public ReadOnlyMemory<byte> PayloadOf(in FrameHeader frame) =>
        _window.AsMemory((int)(Offset - frame.Length - _windowOffset), frame.Length);

    /// <summary>Whether nothing is left but zeros, which a file has that was made longer than it was written (<see cref="JournalSegment.Extend"/>).</summary>
    public bool IsOver()
    {
        for (var offset = Offset; offset < FileLength;)
        {
            var bytes = Read(offset, (int)Math.Min(FileLength - offset, WindowBytes));
            if (bytes.IsEmpty || bytes.ContainsAnyExcept((byte)0))
                return bytes.IsEmpty;
            offset += bytes.Length;
        }

        return true;
    }

    /// <summary>Goes to a place in the file, so that the tools can read on behind damage.</summary>
    public void MoveTo(long offset) => Offset = offset;

    /// <summary>
    /// Looks for a frame, from <see cref="Offset"/> on, that says that a record was synced. Tries every byte, because damage hides where the next
    /// frame begins. Its header is enough: what it says was true when it was written, whatever became of its payload.
    /// </summary>
    /// <returns>Where it lies, and its header.</returns>
    public (long Offset, FrameHeader Frame)? FindSynced(long lsn)
    {
        for (var offset = Offset; offset + JournalFormat.FrameHeaderBytes <= FileLength; offset++)
        {
            if (JournalFormat.TryReadFrameHeader(Read(offset, JournalFormat.FrameHeaderBytes), Header.Salt, out var frame) && frame.SyncedLsn >= lsn)
                return (offset, frame);
        }

        return null;
    }

    /// <summary>Bytes of the file, fewer only at its end. Valid until the next call.</summary>
    public ReadOnlySpan<byte> Read(long offset, int count)
    {
        if (offset < _windowOffset || offset + count > _windowOffset + _windowLength)
            FillWindow(offset, count);
        var start = (int)(offset - _windowOffset);
        return _window.AsSpan(start, Math.Min(count, _windowLength - start));
    }

    /// <summary>What the window holds of the bytes already moves to its front instead of being read again.</summary>
    private void FillWindow(long offset, int count)
    {
        var kept = ReadOnlySpan<byte>.Empty;
        if (offset >= _windowOffset && offset < _windowOffset + _windowLength)
            kept = _window.AsSpan((int)(offset - _windowOffset)..)[..(int)(_windowOffset + _windowLength - offset)];
        var target = count > _window.Length ? new byte[count] : _window;
        kept.CopyTo(target);

        _window = target;
        _windowOffset = offset;
        _windowLength = kept.Length;
        while (_windowLength < _window.Length && _file.Read(_window.AsSpan(_windowLength), offset + _windowLength) is > 0 and var read)
            _windowLength += read;
    }
}

/// <summary>Takes the records of a payload apart.</summary>
internal ref struct FrameRecords(ReadOnlySpan<byte> payload)
{
    private readonly ReadOnlySpan<byte> _payload = payload;
    private int _offset;

    /// <summary>Whether all bytes were handed out.</summary>
    public readonly bool IsAtEnd => _offset == _payload.Length;

    /// <summary>The next record. False: there is none, or the bytes are none of ours.</summary>
    public bool TryNext(out ReadOnlySpan<byte> record)
    {
        record = default;
        if (!Varint.TryRead(_payload, ref _offset, out var length) || length > (ulong)(_payload.Length - _offset))
            return false;
        record = _payload.Slice(_offset, (int)length);
        _offset += (int)length;
        return true;
    }
}
