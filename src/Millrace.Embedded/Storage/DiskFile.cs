using Microsoft.Win32.SafeHandles;

namespace Millrace.Embedded.Storage;

/// <summary>A file of the operating system.</summary>
internal sealed class DiskFile(SafeFileHandle handle) : IStorageFile
{
    public long Length => DiskErrors.Run(handle, static handle => RandomAccess.GetLength(handle));

    public int Read(Span<byte> buffer, long offset)
    {
        try
        {
            return RandomAccess.Read(handle, buffer, offset);
        }
        catch (Exception exception) when (DiskErrors.IsOfDevice(exception))
        {
            throw DiskErrors.Translate(exception);
        }
    }

    public void Write(ReadOnlySpan<byte> bytes, long offset)
    {
        try
        {
            RandomAccess.Write(handle, bytes, offset);
        }
        catch (Exception exception) when (DiskErrors.IsOfDevice(exception))
        {
            throw DiskErrors.Translate(exception);
        }
    }

    public void SetLength(long length) =>
        DiskErrors.Run((handle, length), static what => RandomAccess.SetLength(what.handle, what.length));

    public void SyncData() => DurableFile.SyncData(handle);

    public void Sync() => DurableFile.Sync(handle);

    public void Dispose() => handle.Dispose();
}
