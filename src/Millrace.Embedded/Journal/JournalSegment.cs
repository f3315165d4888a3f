using Millrace.Embedded.Storage;

namespace Millrace.Embedded.Journal;

/// <summary>The segment that takes the next frames. Its writer alone changes it; a sync may run beside.</summary>
internal sealed class JournalSegment(IStorageFile file, string path, FileHeader header, long length) : IDisposable
{
    /// <summary>Whether a write began and did not end well.</summary>
    private bool _isTorn;

    public IStorageFile File { get; } = file;

    /// <summary>The file, for messages.</summary>
    public string Path { get; } = path;

    public FileHeader Header { get; } = header;

    /// <summary>Bytes of whole frames and the header: where the next frame goes.</summary>
    public long Length { get; private set; } = length;

    /// <summary>Whether it has no frame yet.</summary>
    public bool IsEmpty => Length == JournalFormat.FileHeaderBytes;

    /// <summary>
    /// Makes the file, under a name that does not count yet: a failure up to here has changed nothing. <see cref="Publish"/> must follow.
    /// </summary>
    public static JournalSegment Make(IStorageDevice device, long number, long firstLsn)
    {
        var name = JournalFiles.SegmentName(number);
        var header = new FileHeader(IsSnapshot: false, number, firstLsn, JournalFiles.NewSalt());
        Span<byte> bytes = stackalloc byte[JournalFormat.FileHeaderBytes];
        JournalFormat.WriteFileHeader(bytes, header);
        var file = device.Create(name + JournalFiles.NewSuffix);
        try
        {
            file.Write(bytes, 0);
            return new(file, JournalFiles.PathOf(device, name), header, bytes.Length);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Gives the file its name, durably: a segment that exists has a whole header, so a shorter file is damage and never a crash of ours.</summary>
    public void Publish(IStorageDevice device)
    {
        var name = JournalFiles.SegmentName(Header.Number);
        File.Sync();
        device.Rename(name + JournalFiles.NewSuffix, name);
        device.SyncDirectory();
    }

    public void Write(ReadOnlySpan<byte> frame)
    {
        _isTorn = true;
        File.Write(frame, Length);
        Length += frame.Length;
        _isTorn = false;
    }

    /// <summary>Writes a frame without records.</summary>
    public void Write(FrameKind kind, long nextLsn, long syncedLsn)
    {
        Span<byte> bytes = stackalloc byte[JournalFormat.FrameHeaderBytes];
        JournalFormat.WriteFrameHeader(bytes, Header.Salt, new(kind, 0, 0, JournalFormat.PayloadCrc([]), nextLsn, syncedLsn));
        Write(bytes);
    }

    /// <summary>Cuts off what a failed write left behind. Touches nothing when none failed: the file may be another process's by now.</summary>
    public void CutOff()
    {
        if (_isTorn)
            File.SetLength(Length);
        _isTorn = false;
    }

    public void Dispose() => File.Dispose();
}
